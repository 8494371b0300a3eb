-- Gives a cell another value if it has the expected one, and wakes its watchers.
-- KEYS: cell, writer.
-- ARGV: call, change, channel, ms to live, is there an expected value, the
-- expected value, is there a next value, the next value; is there: 1 or 0.
-- Returns {call, the value that the cell then has, or false}; of a call that was
-- done before and whose reply was lost, its next value, whatever happened since.

local function optional(is, value) return is == '1' and value end
local old, new = optional(ARGV[5], ARGV[6]), optional(ARGV[7], ARGV[8])

local value = redis.call('GET', KEYS[1])
local before = made_before(KEYS[2], ARGV[2])
if before then return { ARGV[1], before == 'done' and new or before ~= 'done' and value } end

if value ~= old then
  -- It was refused. Should it arrive again, it still is.
  remember(KEYS[2], ARGV[2], 'differs')
  return { ARGV[1], value }
end
if new then
  redis.call('SET', KEYS[1], new, 'PX', ARGV[4])
else
  redis.call('DEL', KEYS[1])
end
remember(KEYS[2], ARGV[2], 'done')
redis.call('PUBLISH', ARGV[3], '')
return { ARGV[1], new }
