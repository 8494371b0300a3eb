-- Stores a new session and enters it in the index.
-- ARGV: ref, digest, writer, idle ms, lifetime ms, content.
-- Outcome: done, and the creation time, also when this very call was done before
-- and its reply lost; or exists.

local now = server_time()
local r = read(KEYS[1])
if r then
  if r.schema and opens(r, ARGV[2]) and last_written(r, ARGV[3]) == 1 then
    return answer('done', '', r.created)
  end
  return answer('exists')
end
r = {
  revision = 1, created = now, expires = now + tonumber(ARGV[5]), idle = tonumber(ARGV[4]),
  ref = ARGV[1], digests = ARGV[2], writers = '',
}
write(KEYS[1], r, now, ARGV[3], ARGV[6])
trim(KEYS[2], now)
redis.call('ZADD', KEYS[2], text(deadline(r, now)), r.ref)
-- The index lives as long as any session in it can.
if redis.call('PEXPIREAT', KEYS[2], text(r.expires), 'NX') == 0 then
  redis.call('PEXPIREAT', KEYS[2], text(r.expires), 'GT')
end
return answer('done', '', now)
