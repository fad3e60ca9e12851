--- TLS over nginx's sockets, that trusts nobody by mistake.
--
-- With `false` for the session lua-resty-core takes a handshake that ends without waiting for good,
-- whatever came of the certificate; asked for a session it looks, and then fails an assertion of its
-- own when the certificate is not to be trusted.

--- As `socket:sslhandshake`, verified: something true, or nil and why not.
return function(socket, host)
  local method = getmetatable(socket).__index.sslhandshake
  local is_told, session, why = pcall(method, socket, nil, host, true)
  if not is_told then return nil, "the certificate was not accepted (" .. tostring(session) .. ")" end
  if session == nil and why then return nil, why end
  return true
end
