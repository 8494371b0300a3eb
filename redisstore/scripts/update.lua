-- Replaces the content of a session if it still has the revision it was read at.
-- KEYS: session, index. ARGV: ref, digest, writer, revision read, content.
-- Returns {'', now} when done, also when this very call was done before and its
-- reply lost; {value, now} if the session has another revision or schema; or
-- false if the digest opens nothing.

local r = read(KEYS[1])
if not r then return false end
local now = server_time()
if r.schema ~= SCHEMA then return { r.value, now } end
if not opens(r, ARGV[2]) then return false end
local after = tonumber(ARGV[4]) + 1
if last_written(r, ARGV[3]) == after then return { '', now } end
if r.revision + 1 ~= after then return { r.value, now } end
r.revision = after
write(KEYS[1], r, now, ARGV[3], ARGV[5])
redis.call('ZADD', KEYS[2], 'XX', 'GT', text(deadline(r, now)), ARGV[1])
trim(KEYS[2], now)
return { '', now }
