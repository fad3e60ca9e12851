--- Tokens of TypeScript, as far as files of schemas and rules have them.
--
--     local lexer = new(text)     lexer.token = { kind =, text =, value =, at =, is_new_line = }
--     lexer:next()
--
-- Kinds: "name", "string" (also templates without substitutions), "number", "mark" (punctuation), "end". What
-- cannot be read raises `{at=, message=}`.

local Lexer = {}
Lexer.__index = Lexer

--- Raises what is wrong at an offset of the text.
function Lexer.fail(_, at, message, ...)
  error({ at = at, message = select("#", ...) > 0 and message:format(...) or message }, 0)
end

-- The position behind white space and comments, and whether a line ended in it.
local function skip(self, at)
  local text, is_new_line = self.source, false
  while true do
    local stop = text:match("^[ \t\r\n\v\f]+()", at) or text:match("^\194\160()", at)
      or text:match("^\239\187\191()", at) or text:match("^//[^\n]*()", at)
    if not stop and text:find("^/%*", at) then
      local _, close = text:find("*/", at + 2, true)
      if not close then self:fail(at, "this comment does not end") end
      stop = close + 1
    end
    if not stop then return at, is_new_line end
    is_new_line = is_new_line or text:sub(at, stop - 1):find("\n", 1, true) ~= nil
    at = stop
  end
end

-- ---- strings ----

local ESCAPES = { n = "\n", t = "\t", r = "\r", b = "\b", f = "\f", v = "\v", ["0"] = "\0", ["\n"] = "" }

local function utf8_of(code)
  local char, floor = string.char, math.floor
  if code < 0x80 then return char(code) end
  if code < 0x800 then return char(0xC0 + floor(code / 0x40), 0x80 + code % 0x40) end
  if code < 0x10000 then
    return char(0xE0 + floor(code / 0x1000), 0x80 + floor(code / 0x40) % 0x40, 0x80 + code % 0x40)
  end
  return char(0xF0 + floor(code / 0x40000), 0x80 + floor(code / 0x1000) % 0x40, 0x80 + floor(code / 0x40) % 0x40,
    0x80 + code % 0x40)
end

-- A character by its number: `\x41`, `\u0041`, `\u{41}`, or two that make one. What it is, and where it ends.
local function numbered(self, at)
  local text = self.source
  local hex, stop = text:match("^\\x(%x%x)()", at)
  if not hex then hex, stop = text:match("^\\u(%x%x%x%x)()", at) end
  if not hex then hex, stop = text:match("^\\u{(%x%x?%x?%x?%x?%x?)}()", at) end
  if not hex then self:fail(at, "this escape is no character") end
  local code = tonumber(hex, 16)
  if code >= 0xD800 and code < 0xDC00 then
    local low, after = text:match("^\\u(%x%x%x%x)()", stop)
    local second = low and tonumber(low, 16) or 0
    if second >= 0xDC00 and second < 0xE000 then
      code, stop = 0x10000 + (code - 0xD800) * 0x400 + second - 0xDC00, after
    end
  end
  if code > 0x10FFFF or code >= 0xD800 and code < 0xE000 then self:fail(at, "this escape is no character") end
  return utf8_of(code), stop
end

local function escape(self, at)
  local letter = self.source:sub(at + 1, at + 1)
  if letter == "x" or letter == "u" then return numbered(self, at) end
  if letter == "\r" then return "", self.source:find("^\n", at + 2) and at + 3 or at + 2 end
  if letter:find "%d" and (letter ~= "0" or self.source:find("^%d", at + 2)) then
    self:fail(at, "this escape is no character")
  end
  return ESCAPES[letter] or letter, at + 2
end

local function string_token(self, at)
  local text = self.source
  local quote = text:sub(at, at)
  local plain = quote == "`" and "^[^`\\$]+()" or "^[^\\\n" .. quote .. "]+()"
  local parts, here = {}, at + 1
  while true do
    local stop = text:match(plain, here)
    local letter = text:sub(here, here)
    if stop then
      parts[#parts + 1] = text:sub(here, stop - 1)
      here = stop
    elseif letter == quote then
      return { kind = "string", value = table.concat(parts), at = at, stop = here + 1 }
    elseif letter == "\\" and here < #text then
      parts[#parts + 1], here = escape(self, here)
    elseif letter == "$" then
      if text:find("^{", here + 1) then
        self:fail(here, "a template with a substitution cannot be read without running it")
      end
      parts[#parts + 1], here = "$", here + 1
    else
      self:fail(at, "this string does not end")
    end
  end
end

-- ---- the rest ----

local function number_token(self, at)
  local text = self.source
  local digits, stop = text:match("^(0[xX][%x_]+)()", at)
  if not digits then
    local whole, after = text:match("^([%d_]*%.?[%d_]*)()", at)
    local power, last = text:match("^([eE][+-]?%d+)()", after)
    digits, stop = whole .. (power or ""), last or after
  end
  local value = tonumber((digits:gsub("_", "")))
  if not value or text:find("^[%w_$]", stop) then self:fail(at, "this is no number") end
  return { kind = "number", value = value, at = at, stop = stop }
end

local NAME = "^[%a_$\128-\255][%w_$\128-\255]*()"
local MARKS = { "^%.%.%.()", "^=>()", "^%?%.()", "^[%[%]{}(),;:.<>=|&?!+*-]()" }

local function read(self, at)
  local text = self.source
  if at > #text then return { kind = "end", text = "the end of the file", at = at, stop = at } end
  local letter = text:sub(at, at)
  if letter == "\"" or letter == "'" or letter == "`" then return string_token(self, at) end
  if text:find("^%.?%d", at) then return number_token(self, at) end
  local kind, stop = "name", text:match(NAME, at)
  for n = 1, stop and 0 or #MARKS do
    kind, stop = "mark", text:match(MARKS[n], at)
    if stop then break end
  end
  if not stop then self:fail(at, "there is no `%s` in a file of data", letter) end
  return { kind = kind, text = text:sub(at, stop - 1), at = at, stop = stop }
end

--- Goes to the next token.
function Lexer:next()
  local at, is_new_line = skip(self, self.token and self.token.stop or 1)
  local token = read(self, at)
  token.is_new_line = is_new_line
  token.text = token.text or self.source:sub(token.at, token.stop - 1)
  self.last_stop = self.token and self.token.stop or 1
  self.token = token
  return token
end

--- A lexer at the first token of a text.
local function new(text)
  local self = setmetatable({ source = text }, Lexer)
  self:next()
  return self
end

return new
