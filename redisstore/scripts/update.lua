-- Replaces the content of a session if it still has the revision it was read at.
-- ARGV: ref, digest, writer, revision read, content.
-- Outcome: done, with the time, also when this very call was done before and its
-- reply lost; differs, with the newest value and the time, for another revision,
-- or with the value for another schema; or absent.

local r = read(KEYS[1])
if not r then return answer('absent') end
if not r.schema then return answer('differs', r.value) end
if not opens(r, ARGV[2]) then return answer('absent') end
local now = server_time()
local after = tonumber(ARGV[4]) + 1
if last_written(r, ARGV[3]) == after then return answer('done', '', now) end
if r.revision + 1 ~= after then return answer('differs', r.value, now) end
r.revision = after
write(KEYS[1], r, now, ARGV[3], ARGV[5])
redis.call('ZADD', KEYS[2], 'XX', text(deadline(r, now)), ARGV[1])
trim(KEYS[2], now)
return answer('done', '', now)
