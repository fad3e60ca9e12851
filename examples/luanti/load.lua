-- Loads `instant` for a trusted mod. What is loaded sees the mods' restricted world, and `require` for parts of
-- itself beside it; `ie` and what this returns must stay in local variables of the mod, out of others' reach.
return function(ie)
  local loaded = {}
  local env = setmetatable({}, { __index = _G })

  local function load(name)
    local file = ie.package.searchpath(name, ie.package.path)
    if file then
      return ie.setfenv(assert(ie.loadfile(file)), env)(name)
    end
    file = assert(ie.package.searchpath(name, ie.package.cpath))
    return assert(ie.package.loadlib(file, "luaopen_" .. name:gsub("%.", "_")))(name)
  end

  function env.require(name)
    if name ~= "instant" and not name:match "^instant%.[%w_]+$" then
      error("not a part of instant: " .. tostring(name), 2)
    end
    if loaded[name] == nil then loaded[name] = load(name) end
    return loaded[name]
  end

  return env.require "instant"
end
