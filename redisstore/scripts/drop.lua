-- Empties logs and removes cells, and wakes the watchers of what existed.
-- KEYS: log, cell, log, cell, ...
-- ARGV: call, a channel for each pair of keys.
-- Returns {call}.

-- An empty log keeps its last id for a while, so that the ids of one that begins
-- in the same millisecond, or after the clock was set back, are greater.
local ID_MEMORY = 60000 -- ms

for i = 1, #KEYS, 2 do
  local removed = redis.call('XTRIM', KEYS[i], 'MAXLEN', 0)
  redis.call('PEXPIRE', KEYS[i], ID_MEMORY)
  removed = removed + redis.call('DEL', KEYS[i + 1])
  if removed > 0 then redis.call('PUBLISH', ARGV[1 + (i + 1) / 2], '') end
end
return { ARGV[1] }
