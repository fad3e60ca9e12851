-- Reads LuaCATS annotations as lua-language-server does, as far as the files of types here use them, for want of
-- that program in Debian. What it does not know is an error, so that nothing slips through.
--
--     local file = luacats.read(text)       file.classes[name] = { parents =, fields = { [name] = { type =, ... } } }
--     luacats.unknown(file, also)           names of types that are nowhere defined

local luacats = {}

local BUILTIN = {
  any = true, boolean = true, fun = true, integer = true, lightuserdata = true, number = true, string = true,
  table = true, ["true"] = true, ["false"] = true, ["nil"] = true,
}

local Parser = {}
Parser.__index = Parser

function Parser:fail(text)
  error(("line %d: %s at %q"):format(self.line, text, self.text:sub(self.at)), 0)
end

function Parser:skip() self.at = self.text:match("^ *()", self.at) end

function Parser:accept(mark)
  self:skip()
  if self.text:sub(self.at, self.at + #mark - 1) ~= mark then return false end
  self.at = self.at + #mark
  return true
end

function Parser:expect(mark)
  if not self:accept(mark) then self:fail("expected " .. mark) end
end

function Parser:match(pattern)
  self:skip()
  local found, stop = self.text:match("^(" .. pattern .. ")()", self.at)
  if found then self.at = stop end
  return found
end

function Parser:literal()
  self:skip()
  local at = self.at
  if self.text:sub(at, at) ~= "\"" then return nil end
  local stop = at + 1
  while self.text:sub(stop, stop) ~= "\"" do
    if stop > #self.text then self:fail "a literal does not end" end
    stop = stop + (self.text:sub(stop, stop) == "\\" and 2 or 1)
  end
  self.at = stop + 1
  return (self.text:sub(at + 1, stop - 1):gsub("\\(.)", "%1"))
end

local function parameters(self)
  self:expect "("
  while not self:accept ")" do
    if not self:match "[%a_][%w_]*" and not self:accept "..." then self:fail "expected a parameter" end
    self:accept "?"
    if self:accept ":" then self:type() end
    if not self:accept "," then
      self:expect ")"
      break
    end
  end
  if self:accept ":" then
    repeat self:type() until not self:accept ","
  end
end

local function shape(self)
  while not self:accept "}" do
    if self:accept "[" then
      self:type()
      self:expect "]"
    elseif not self:match "[%a_][%w_]*" then
      self:fail "expected a field"
    end
    self:accept "?"
    self:expect ":"
    self:type()
    if not self:accept "," then
      self:expect "}"
      break
    end
  end
end

local function primary(self)
  if self:accept "(" then
    self:type()
    self:expect ")"
  elseif self:accept "{" then
    shape(self)
  elseif not self:literal() then
    local name = self:match "[%a_][%w_.]*"
    if not name then self:fail "expected a type" end
    self.used[name] = self.line
    if name == "fun" then return parameters(self) end
    if self:accept "<" then
      repeat self:type() until not self:accept ","
      self:expect ">"
    end
  end
end

function Parser:type()
  repeat
    primary(self)
    local is_list = self:accept "[]"
    while is_list do is_list = self:accept "[]" end
    self:accept "?"
  until not self:accept "|"
end

-- ---- lines ----

local function read_class(file, self)
  local name = self:match "[%a_][%w_.]*"
  if not name then self:fail "expected the name of a class" end
  if file.classes[name] then self:fail "a class that was there before" end
  local class = { parents = {}, fields = {} }
  if self:accept ":" then
    repeat class.parents[#class.parents + 1] = self:match "[%a_][%w_.]*" or self:fail "expected a parent"
    until not self:accept ","
  end
  for _, parent in ipairs(class.parents) do self.used[parent] = self.line end
  file.classes[name] = class
  return class
end

local function read_field(class, self)
  if not class then self:fail "a field without a class" end
  local name
  if self:accept "[" then
    name = self:literal()
    if not name then
      self:type()
      name = "[]"
    end
    self:expect "]"
  else
    name = self:match "[%a_][%w_]*" or self:fail "expected the name of a field"
  end
  if class.fields[name] then self:fail "a field that was there before" end
  local optional = self:accept "?"
  self:skip()
  local from = self.at
  self:type()
  class.fields[name] = { type = self.text:sub(from, self.at - 1), optional = optional }
  self:skip()
  if self.at <= #self.text then self:fail "something behind a type" end
end

function luacats.read(text)
  local file, class, line, used = { classes = {}, used = {} }, nil, 0, {}
  for content in text:gmatch "([^\n]*)\n" do
    line = line + 1
    local tag, rest = content:match "^%-%-%-@(%a+) ?(.*)$"
    local self = setmetatable({ text = rest or "", at = 1, line = line, used = used }, Parser)
    if tag == "class" then
      class = read_class(file, self)
    elseif tag == "field" then
      read_field(class, self)
    elseif content == "" then
      class = nil
    elseif not (tag == "meta" or not tag and content:find "^%-%-%- ") then
      error(("line %d: not read: %s"):format(line, content), 0)
    end
  end
  file.used = used
  return file
end

--- Types that are named and not defined in the file, in `also` (a set), or in the language.
function luacats.unknown(file, also)
  local names = {}
  for name, line in pairs(file.used) do
    if not BUILTIN[name] and not file.classes[name] and not also[name] then names[#names + 1] = name .. ":" .. line end
  end
  table.sort(names)
  return names
end

return luacats
