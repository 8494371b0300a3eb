-- Stores a new session and enters it in the index.
-- ARGV: ref, digest, writer, idle ms, lifetime ms, content.
-- Outcome: done, and the creation time, also when this very call was done before
-- and its reply lost; or exists.

if stored then
  if opened and last_written(ARGV[3]) == 1 then return answer('done', '', tonumber(created)) end
  return answer('exists')
end
revision, created, expires, idle = '1', now_text, string.format('%d', now + ARGV[5]), ARGV[4]
ref, digests, writers = ARGV[1], ARGV[2], ''
redis.call('ZADD', KEYS[2], write(ARGV[3], ARGV[6]), ref)
trim()
-- The index lives as long as any session in it can.
if redis.call('PEXPIREAT', KEYS[2], expires, 'NX') == 0 then
  redis.call('PEXPIREAT', KEYS[2], expires, 'GT')
end
return answer('done')
