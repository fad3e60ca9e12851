-- Addresses as people type them become comparable. What they were cannot be known later, so this has no `down`
-- that brings it back: undoing it changes nothing.
return {
  up = function(m)
    m:each("orders", function(order)
      local tidy = order.email:lower():match "^%s*(.-)%s*$"
      if tidy ~= order.email then return m.tx.orders[order.id]:update { email = tidy } end
    end)
  end,
  down = function() end,
}
