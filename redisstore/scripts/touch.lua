-- Reads a session and moves its idle deadline, in the index too.
-- ARGV: ref, digest.
-- Outcome: done, with value and time; differs, for another schema; or absent.

if stored and not revision then return answer('differs', stored) end
if not opened then return answer('absent') end
local at = deadline()
-- In this order: a server at its maxmemory refuses ZADD, but not in a script
-- that has written already. So sessions can be read when it is full.
redis.call('PEXPIREAT', KEYS[1], at)
redis.call('ZADD', KEYS[2], 'XX', at, ARGV[1])
return answer('done', stored)
