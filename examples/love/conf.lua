-- With --headless (tests, bots) nothing is drawn and no device is opened.
local is_headless = false
for _, word in ipairs(arg or {}) do
  if word == "--headless" then is_headless = true end
end

function love.conf(t)
  t.identity = "instant-meadow"
  t.window.title = "Meadow"
  if not is_headless then return end
  for _, name in ipairs { "window", "graphics", "audio", "sound", "video", "image", "font", "joystick", "keyboard",
    "mouse", "touch", "physics" } do
    t.modules[name] = false
  end
end
