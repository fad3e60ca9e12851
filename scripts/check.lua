-- instant-lua check FILE | DATA_FOLDER
--
-- Is it whole? Reads everything and says what is wrong, one line for each problem.

local instant = require "instant"
local options = require "instant.options"

local USAGE = [[
usage: instant-lua check FILE | DATA_FOLDER

Reads a data folder, one app's data file, or a backup, and checks all of it: every triple in both
trees, attributes, order keys, the log, the contents of files. Ends with 0 when it is whole, with 2
when it is damaged, with 1 when it cannot be checked (a server must not have it open: check a backup).
]]

local function main(...)
  local given = options.parse({ ... }, { arguments = { "path" } })
  if given and given.help then
    io.write(USAGE)
    return 0
  end
  local path = given and given.path
  if not path then
    io.stderr:write(USAGE)
    return 1
  end
  local shown
  local found, err = instant.data.check(path, function(progress)
    if progress.name == shown then return end
    shown = progress.name
    if progress.file < progress.files then
      print(("%d of %d  %s"):format(progress.file + 1, progress.files, progress.name))
    end
  end):await()
  if not found then
    io.stderr:write("instant-lua check: ", err.message, "\n")
    return 1
  end
  if found.problems == 0 then
    print(("%s is whole: databases %d, contents of files %d"):format(path, found.files, found.contents))
    return 0
  end
  io.stdout:flush()
  io.stderr:write(found.text)
  io.stderr:write(("instant-lua check: %s: problems found: %d\n"):format(path, found.problems))
  return 2
end

return main(...)
