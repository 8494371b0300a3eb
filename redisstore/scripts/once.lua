-- The scripts that change logs and cells begin with this file: how a change that
-- arrives twice is made once (see broker_once.go).

local CHANGE_MEMORY = 60000 -- ms for which a writer's last change is remembered

-- What came of a change, if it was made before: what remember was told, or ''
-- for one that was not its writer's last, and which nobody waits for any more.
local function made_before(writer, change)
  local last, result = string.match(redis.call('GET', writer) or '', '^(%d+) (%S*)$')
  if not last or tonumber(last) < tonumber(change) then return nil end
  return last == change and result or ''
end

-- To be called after the change itself, which a server at its maxmemory refuses;
-- what follows it in a script it does not.
local function remember(writer, change, result)
  return redis.pcall('SET', writer, change .. ' ' .. result, 'PX', CHANGE_MEMORY)
end
