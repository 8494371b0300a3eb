-- Replaces the content of a session if it still has the revision it was read at.
-- ARGV: ref, digest, writer, revision read, content.
-- Outcome: done, with the time, also when this very call was done before and its
-- reply lost; differs, with the newest value and the time, for another revision,
-- or with the value for another schema; or absent.

if stored and not revision then return answer('differs', stored) end
if not opened then return answer('absent') end
local after = ARGV[4] + 1
if last_written(ARGV[3]) == after then return answer('done') end
if revision + 1 ~= after then return answer('differs', stored) end
revision = string.format('%d', after)
redis.call('ZADD', KEYS[2], 'XX', write(ARGV[3], ARGV[5]), ARGV[1])
trim()
return answer('done')
