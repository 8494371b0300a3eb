-- Ends a session.
-- KEYS: session, index. ARGV: ref, digest.
-- Returns '' if the digest opens no session, now or already before; else the
-- value, which has another schema and was left alone.

local r = read(KEYS[1])
if not r then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return ''
end
if r.schema ~= SCHEMA then return r.value end
if opens(r, ARGV[2]) then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  trim(KEYS[2], server_time())
end
return ''
