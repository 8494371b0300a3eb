-- Adds an event to a log and wakes its watchers.
-- KEYS: log, writer.
-- ARGV: call, change, events to keep, ms to keep them, channel, event.
-- Returns {call, id of the event}, also when this very call was done before and
-- its reply lost.

local SEQUENCES = 1048575 -- in one millisecond: what a Position has room for

local id = made_before(KEYS[2], ARGV[2])
if id then return { ARGV[1], id } end

local function add(id)
  return redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], id, 'd', ARGV[6])
end

-- The id is the server's time, or follows the last one if that is not less: the
-- clock was set back, or after a failover it is another server's.
id = add('*')
local ms, sequence = string.match(id, '^(%d+)-(%d+)$')
if tonumber(sequence) >= SEQUENCES then
  redis.call('XDEL', KEYS[1], id)
  id = add(string.format('%.0f-0', ms + 1))
end
redis.call('PEXPIRE', KEYS[1], ARGV[4])
remember(KEYS[2], ARGV[2], id)
redis.call('PUBLISH', ARGV[5], '')
return { ARGV[1], id }
