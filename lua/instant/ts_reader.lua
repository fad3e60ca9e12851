--- Reads instant.schema.ts and instant.perms.ts without running them: the part of TypeScript that writes data.
--
--     local value, notices = ts.read(text, "instant.schema.ts")
--
--     file        imports, types and interfaces (left out), `const x = value;`, `export default value;`
--     value       object, array, string, template without substitution, number, true, false, null, undefined,
--                 a constant of above, `i.string().unique()` and the rest of the schema builder
--     passed over `as const`, `as T`, `satisfies T`, `!`, type arguments (with a notice)
--
-- Whatever else is there is an error with its place: `instant.schema.ts:12:7: ...`. Depth and size have limits.

local core = require "instant.core"
local i = require "instant.schema"
local new_lexer = require "instant.ts_lexer"

local ts = {}

local MAX_BYTES = 4 * 1024 * 1024
local MAX_DEPTH = 64

-- What `undefined` is inside the reader, and the name `i`.
local UNDEFINED, BUILDER = {}, {}

local Reader = {}
Reader.__index = Reader

-- ---- tokens ----

local function is(self, text)
  local token = self.lexer.token
  return (token.kind == "mark" or token.kind == "name") and token.text == text
end

local function advance(self)
  local token = self.lexer.token
  self.lexer:next()
  return token
end

local function fail(self, message, ...)
  self.lexer:fail(self.lexer.token.at, message, ...)
end

local function accept(self, text)
  return is(self, text) and advance(self) or nil
end

local function shown(token)
  if token.kind == "end" then return token.text end
  local text = token.text
  return "`" .. (#text > 40 and text:sub(1, 40) .. "..." or text) .. "`"
end

local function expect(self, text, where)
  if not is(self, text) then fail(self, "expected `%s`%s, got %s", text, where or "", shown(self.lexer.token)) end
  return advance(self)
end

local function expect_name(self, what)
  if self.lexer.token.kind ~= "name" then fail(self, "expected %s, got %s", what, shown(self.lexer.token)) end
  return advance(self)
end

local function deeper(self)
  self.depth = self.depth + 1
  if self.depth > MAX_DEPTH then fail(self, "this is nested too deep") end
end

local function back(self)
  self.depth = self.depth - 1
end

-- ---- types, which are passed over ----

local skip_type

local OPENING = { ["("] = ")", ["["] = "]", ["{"] = "}" }

-- Brackets with whatever is in them.
local function skip_balanced(self)
  local stack = {}
  repeat
    local token = self.lexer.token
    if token.kind == "end" then fail(self, "a `%s` is missing", stack[#stack]) end
    if token.kind == "mark" and OPENING[token.text] then
      stack[#stack + 1] = OPENING[token.text]
    elseif token.kind == "mark" and token.text == stack[#stack] then
      stack[#stack] = nil
    end
    advance(self)
  until #stack == 0
end

local function skip_type_arguments(self)
  expect(self, "<")
  repeat skip_type(self) until not accept(self, ",")
  expect(self, ">", " behind type arguments")
end

local PREFIXES = { keyof = true, typeof = true, readonly = true, unique = true, infer = true }

local function skip_primary_type(self)
  local token = self.lexer.token
  while token.kind == "name" and PREFIXES[token.text] do
    advance(self)
    token = self.lexer.token
  end
  accept(self, "-")
  token = self.lexer.token
  if token.kind == "mark" and OPENING[token.text] then
    skip_balanced(self)
    if accept(self, "=>") then skip_type(self) end
  elseif token.kind == "string" or token.kind == "number" then
    advance(self)
  else
    expect_name(self, "a type")
    if token.text == "import" and is(self, "(") then skip_balanced(self) end
    while accept(self, ".") do expect_name(self, "a name") end
    if is(self, "<") then skip_type_arguments(self) end
  end
  while is(self, "[") and not self.lexer.token.is_new_line do skip_balanced(self) end
end

function skip_type(self)
  deeper(self)
  if not accept(self, "|") then accept(self, "&") end
  repeat
    skip_primary_type(self)
    if accept(self, "extends") then
      skip_type(self)
      if accept(self, "?") then
        skip_type(self)
        expect(self, ":")
        skip_type(self)
      end
    end
  until not (accept(self, "|") or accept(self, "&"))
  back(self)
end

-- ---- the schema builder ----

-- Calls one of its functions; what that raises is said at the place of the call.
local function build(self, at, fn, ...)
  local ok, result = pcall(fn, ...)
  if not ok then
    local text = type(result) == "string" and result:gsub("^[^\n]-:%d+: ", "") or tostring(result)
    self.lexer:fail(at, "%s", text)
  end
  return result
end

local TAKES = { entity = 1, schema = 1, graph = 2 }

local function count_arguments(self, at, name, arguments, count)
  if #arguments ~= count then
    self.lexer:fail(at, "%s takes %s, got %d", name,
      count == 0 and "nothing" or count == 1 and "one object" or "two objects", #arguments)
  end
  for _, argument in ipairs(arguments) do
    if type(argument) ~= "table" or argument == UNDEFINED or argument == BUILDER then
      self.lexer:fail(at, "%s takes an object", name)
    end
  end
end

local function call_builder(self, at, name, arguments)
  if i[name] == nil and name ~= "graph" then self.lexer:fail(at, "there is no i.%s", name) end
  count_arguments(self, at, "i." .. name, arguments, TAKES[name] or 0)
  if name == "graph" then
    return build(self, at, i.schema, { entities = arguments[1], links = arguments[2] })
  end
  return build(self, at, i[name], arguments[1])
end

local MODIFIERS = { optional = true, unique = true, indexed = true, clientRequired = true }
-- Casts for TypeScript's own use.
local CASTS = { asType = true, withRoomSchema = true }

local function call_method(self, at, value, name, arguments)
  if value == BUILDER then return call_builder(self, at, name, arguments) end
  local is_table = type(value) == "table"
  if is_table and MODIFIERS[name] and value.valueType and type(value[name]) == "function" then
    count_arguments(self, at, name, arguments, 0)
    return build(self, at, value[name], value)
  end
  if is_table and CASTS[name] and (value.attrs or value.entities) then return value end
  self.lexer:fail(at, "`%s` is no function that can be called here", name)
end

-- ---- values ----

local read_value

local function read_array(self)
  local list = setmetatable({}, core.array_mt)
  advance(self)
  while not accept(self, "]") do
    if is(self, "...") then fail(self, "`...` in a list cannot be read; write its elements") end
    local value = read_value(self)
    list[#list + 1] = value == UNDEFINED and core.null or value
    if not is(self, "]") then expect(self, ",", " or `]` behind an element") end
  end
  return list
end

-- A key, and the name again when it stands for a constant too.
local function read_key(self)
  local token = self.lexer.token
  if token.kind == "name" then return advance(self).text, token end
  if token.kind == "string" then return advance(self).value end
  if token.kind == "number" then return core.json_encode(advance(self).value) end
  if is(self, "[") then fail(self, "a computed key cannot be read; write the key itself") end
  fail(self, "expected a key, got %s", shown(token))
end

local function constant(self, token)
  local value = self.constants[token.text]
  if value == nil then
    self.lexer:fail(token.at, "`%s` is no constant of this file%s", token.text,
      self.imported[token.text] and ": it is imported, and other files are not read" or "")
  end
  return value
end

-- `...constant`
local function spread(self, object)
  local at = advance(self).at
  local value = read_value(self)
  if type(value) ~= "table" or value == BUILDER or getmetatable(value) ~= nil then
    self.lexer:fail(at, "only an object can be spread")
  end
  for name, member in pairs(value) do object[name] = member end
end

local function read_member(self, object)
  local key, name = read_key(self)
  local value
  if accept(self, ":") then
    value = read_value(self)
  elseif name and (is(self, ",") or is(self, "}")) then
    value = constant(self, name)
  elseif is(self, "(") then
    fail(self, "a function cannot be read")
  else
    expect(self, ":", " behind a key")
  end
  if value == BUILDER then self.lexer:fail(name and name.at or self.lexer.token.at, "`%s` is no value", key) end
  if value == UNDEFINED then value = nil end
  object[key] = value
end

local function read_object(self)
  local object = {}
  advance(self)
  while not accept(self, "}") do
    if is(self, "...") then spread(self, object) else read_member(self, object) end
    if not is(self, "}") then expect(self, ",", " or `}` behind a member") end
  end
  return object
end

local WORDS = { ["true"] = true, ["false"] = false, null = core.null, undefined = UNDEFINED }
local FUNCTIONS = { ["function"] = true, async = true, class = true, new = true, await = true }

local function read_name(self)
  local token = advance(self)
  if WORDS[token.text] ~= nil then return WORDS[token.text] end
  if FUNCTIONS[token.text] then self.lexer:fail(token.at, "`%s` cannot be read without running it", token.text) end
  if is(self, "=>") then self.lexer:fail(token.at, "a function cannot be read") end
  return constant(self, token)
end

local function read_primary(self)
  local token = self.lexer.token
  if token.kind == "string" or token.kind == "number" then return advance(self).value end
  if token.kind == "name" then return read_name(self) end
  if is(self, "{") then return read_object(self) end
  if is(self, "[") then return read_array(self) end
  if accept(self, "-") then
    if self.lexer.token.kind ~= "number" then fail(self, "expected a number behind `-`") end
    return -advance(self).value
  end
  if accept(self, "(") then
    local value = read_value(self)
    expect(self, ")")
    if is(self, "=>") then self.lexer:fail(token.at, "a function cannot be read") end
    return value
  end
  fail(self, "expected a value, got %s", shown(token))
end

local function read_arguments(self)
  local arguments = {}
  expect(self, "(")
  while not accept(self, ")") do
    arguments[#arguments + 1] = read_value(self)
    if not is(self, ")") then expect(self, ",", " or `)` behind an argument") end
  end
  return arguments
end

-- `.name`, `.name<T>(...)` behind a value.
local function read_access(self, value)
  advance(self)
  local name = expect_name(self, "a name behind `.`")
  if is(self, "<") then
    local at = self.lexer.token.at
    skip_type_arguments(self)
    self.notices[#self.notices + 1] = { at = at, text = self.lexer.source:sub(at, self.lexer.last_stop - 1) }
  end
  if is(self, "(") then return call_method(self, name.at, value, name.text, read_arguments(self)) end
  local member
  if type(value) == "table" and value ~= BUILDER and getmetatable(value) == nil then member = value[name.text] end
  if member == nil then
    self.lexer:fail(name.at, value == BUILDER and "call it: i.%s()" or "there is no member `%s` here", name.text)
  end
  return member
end

local function read_postfix(self)
  local value = read_primary(self)
  while true do
    local token = self.lexer.token
    if is(self, ".") or is(self, "?.") then
      value = read_access(self, value)
    elseif is(self, "[") and not token.is_new_line then
      fail(self, "`[...]` behind a value cannot be read; write the value itself")
    elseif is(self, "(") and not token.is_new_line then
      fail(self, "only functions of the schema builder can be called")
    elseif token.kind == "name" and (token.text == "as" or token.text == "satisfies") then
      advance(self)
      skip_type(self)
    elseif not (is(self, "!") and not token.is_new_line and advance(self)) then
      return value
    end
  end
end

-- Strings may be put together by `+`.
function read_value(self)
  deeper(self)
  local value = read_postfix(self)
  while is(self, "+") do
    local at = advance(self).at
    local more = read_postfix(self)
    if type(value) ~= "string" or type(more) ~= "string" then
      self.lexer:fail(at, "`+` can be read between strings only")
    end
    value = value .. more
  end
  if is(self, "?") or is(self, "|") or is(self, "&") then
    fail(self, "`%s` cannot be read without running it", self.lexer.token.text)
  end
  back(self)
  return value
end

-- ---- statements ----

local function end_statement(self)
  if accept(self, ";") or self.lexer.token.is_new_line or self.lexer.token.kind == "end" then return end
  fail(self, "expected the end of the statement, got %s", shown(self.lexer.token))
end

local function read_constants(self)
  advance(self)
  repeat
    local name = expect_name(self, "the name of a constant")
    if accept(self, ":") then skip_type(self) end
    expect(self, "=", " behind a constant's name")
    local value = read_value(self)
    if value == UNDEFINED then self.lexer:fail(name.at, "`%s` has no value", name.text) end
    self.constants[name.text] = value
  until not accept(self, ",")
  end_statement(self)
end

-- `{ i, id as makeId }`: what is named i there is the schema builder here.
local function read_import_list(self)
  expect(self, "{")
  while not accept(self, "}") do
    local token = expect_name(self, "a name")
    if token.text == "type" and self.lexer.token.kind == "name" and not is(self, "as") then token = advance(self) end
    local own = accept(self, "as") and expect_name(self, "a name").text or token.text
    self.imported[own] = true
    if token.text == "i" then self.constants[own] = BUILDER end
    if not is(self, "}") then expect(self, ",", " or `}` in an import") end
  end
end

local function read_import(self)
  advance(self)
  if is(self, "type") then advance(self) end
  while self.lexer.token.kind ~= "string" do
    if is(self, "{") then
      read_import_list(self)
    elseif accept(self, "*") then
      expect(self, "as")
      self.imported[expect_name(self, "a name").text] = true
    elseif is(self, ",") or is(self, "from") then
      advance(self)
    else
      self.imported[expect_name(self, "an import").text] = true
    end
  end
  advance(self)
  end_statement(self)
end

local function skip_interface(self)
  advance(self)
  expect_name(self, "the name of an interface")
  while not is(self, "{") do
    if self.lexer.token.kind == "end" then fail(self, "expected `{` of an interface") end
    advance(self)
  end
  skip_balanced(self)
  accept(self, ";")
end

local function skip_type_statement(self)
  advance(self)
  if is(self, "{") then -- export type { ... }
    skip_balanced(self)
    if accept(self, "from") then advance(self) end
  else
    expect_name(self, "the name of a type")
    if is(self, "<") then skip_type_arguments(self) end
    expect(self, "=", " behind the name of a type")
    skip_type(self)
  end
  end_statement(self)
end

local read_statement

local function read_export(self)
  advance(self)
  if accept(self, "default") then
    self.default_at = self.lexer.token.at
    self.default = read_value(self)
    end_statement(self)
  elseif is(self, "{") then
    advance(self)
    while not accept(self, "}") do
      local name = expect_name(self, "a name")
      if accept(self, "as") and expect_name(self, "a name").text == "default" then
        self.default_at, self.default = name.at, constant(self, name)
      end
      if not is(self, "}") then expect(self, ",", " or `}` in an export") end
    end
    if is(self, "from") then fail(self, "other files are not read") end
    end_statement(self)
  else
    read_statement(self)
  end
end

local STATEMENTS = {
  import = read_import, export = read_export, const = read_constants, let = read_constants, var = read_constants,
  interface = skip_interface, type = skip_type_statement,
}

function read_statement(self)
  local token = self.lexer.token
  if token.kind == "string" then -- "use client"
    advance(self)
    return end_statement(self)
  end
  if accept(self, ";") then return end
  local fn = token.kind == "name" and STATEMENTS[token.text]
  if not fn then fail(self, "this cannot be read without running it: %s", shown(token)) end
  deeper(self)
  fn(self)
  back(self)
end

-- ---- the whole ----

-- Line and column, both from 1; columns count bytes.
local function place(text, at)
  local line, start = 1, 1
  while true do
    local stop = text:find("\n", start, true)
    if not stop or stop >= at then return line, at - start + 1 end
    line, start = line + 1, stop + 1
  end
end

local function read_all(text)
  local self = setmetatable({
    constants = {}, imported = {}, notices = {}, depth = 0, lexer = new_lexer(text),
  }, Reader)
  self.constants.i = BUILDER
  while self.lexer.token.kind ~= "end" do read_statement(self) end
  local value = self.default
  if value == nil then fail(self, "there is no `export default`") end
  if type(value) ~= "table" or value == BUILDER or value == UNDEFINED then
    self.lexer:fail(self.default_at, "the default export must be an object")
  end
  return value, self.notices
end

--- What a file exports by default: a schema as `i.schema` makes it, or a table of rules. Also a list of sentences
--- about what was left out. Or nil and a sentence that begins with `name:line:column: `.
function ts.read(text, name)
  name = name or "input"
  if #text > MAX_BYTES then return nil, ("%s:1:1: the file is longer than %d bytes"):format(name, MAX_BYTES) end
  local ok, value, notices = pcall(read_all, text)
  if not ok then
    if type(value) ~= "table" then error(value, 0) end
    local line, column = place(text, value.at)
    return nil, ("%s:%d:%d: %s"):format(name, line, column, value.message)
  end
  local sentences = {}
  for n, notice in ipairs(notices) do
    local line, column = place(text, notice.at)
    sentences[n] = ("%s:%d:%d: the type argument %s is left out"):format(name, line, column, notice.text)
  end
  return value, sentences
end

return ts
