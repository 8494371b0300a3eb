-- Ends a session.
-- ARGV: ref, digest.
-- Outcome: done, if the digest opens no session now, or did not before; or
-- differs, for another schema.

local r = read(KEYS[1])
if not r then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return answer('done')
end
if not r.schema then return answer('differs', r.value) end
if opens(r, ARGV[2]) then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  trim(KEYS[2], server_time())
end
return answer('done')
