--- Puts methods on an object so that each can be called as `object:name(...)` and as
--- `object.name(...)`, whichever a program ported from JavaScript has.
return function(self, methods)
  for name, fn in pairs(methods) do
    self[name] = function(first, ...)
      if first == self then return fn(self, ...) end
      return fn(self, first, ...)
    end
  end
  return self
end
