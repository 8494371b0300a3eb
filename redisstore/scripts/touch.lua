-- Reads a session and moves its idle deadline, in the index too.
-- KEYS: session, index. ARGV: ref, digest.
-- Returns {value, now}; of another schema without touching it; or false if the
-- digest opens nothing.

local r = read(KEYS[1])
if not r then return false end
local now = server_time()
if r.schema ~= SCHEMA then return { r.value, now } end
if not opens(r, ARGV[2]) then return false end
redis.call('PEXPIREAT', KEYS[1], text(deadline(r, now)))
redis.call('ZADD', KEYS[2], 'XX', 'GT', text(deadline(r, now)), ARGV[1])
return { r.value, now }
