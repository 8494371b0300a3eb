-- Ends a session.
-- ARGV: ref, digest.
-- Outcome: done, if the digest opens no session now, or did not before; or
-- differs, for another schema.

if not stored then
  redis.call('ZREM', KEYS[2], ARGV[1])
  return answer('done')
end
if not revision then return answer('differs', stored) end
if opened then
  redis.call('DEL', KEYS[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  trim()
end
return answer('done')
