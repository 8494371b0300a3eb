-- Reads a session and moves its idle deadline, in the index too.
-- ARGV: ref, digest.
-- Outcome: done, with value and time; differs, for another schema; or absent.

local r = read(KEYS[1])
if not r then return answer('absent') end
if not r.schema then return answer('differs', r.value) end
if not opens(r, ARGV[2]) then return answer('absent') end
local now = server_time()
-- In this order: a server at its maxmemory refuses ZADD, but not in a script
-- that has written already. So sessions can be read when it is full.
redis.call('PEXPIREAT', KEYS[1], text(deadline(r, now)))
redis.call('ZADD', KEYS[2], 'XX', text(deadline(r, now)), ARGV[1])
return answer('done', r.value, now)
