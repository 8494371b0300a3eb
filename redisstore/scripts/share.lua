-- Lets another credential open a session too.
-- ARGV: ref, digest, digest of the other.
-- Outcome: done, also if it did already; differs, for another schema; or absent.

if stored and not revision then return answer('differs', stored) end
if not opened then return answer('absent') end
local at = deadline()
if string.find(',' .. digests .. ',', ',' .. ARGV[3] .. ',', 1, true) then
  redis.call('PEXPIREAT', KEYS[1], at)
else
  local before, after = string.match(stored, '^(1 %d+ %d+ %d+ %d+ %d+ [^ \n]+ [^ \n]+)(.*)$')
  redis.call('SET', KEYS[1], before .. ',' .. ARGV[3] .. after, 'PXAT', at)
end
redis.call('ZADD', KEYS[2], 'XX', at, ARGV[1])
return answer('done')
