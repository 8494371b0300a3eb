-- Every script begins with this file: reading and writing the header of a
-- stored session (see record.go), and the server's clock.
--
-- Every script is called with KEYS session, index (of one slot), and ARGV[1]
-- ref, ARGV[2] digest. Every script returns {ref, outcome, value, time}, by
-- answer below, where the outcome is
--   done     and the value what touch read, else ''
--   absent   the digest opens no session
--   exists   (create) another session is there
--   differs  and the value, which has another revision, or a schema that this
--            script does not know, and was left alone

local SCHEMA = '1'
local WRITER_MEMORY = 60000 -- ms for which a writer's last revision is remembered

local function text(n) return string.format('%.0f', n) end

local function server_time()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function answer(outcome, value, time)
  return { ARGV[1], outcome, value or '', time or 0 }
end

-- The stored session under key, or nil. It has no schema if that is not ours.
local function read(key)
  local value = redis.call('GET', key)
  if not value then return nil end
  local stop = string.find(value, '\n', 1, true) or 1
  local schema, revision, created, expires, idle, _, ref, digests, writers =
    string.match(string.sub(value, 1, stop - 1), '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+) (%S+) (%S+) (%S*)$')
  if schema ~= SCHEMA then return { value = value } end
  return {
    value = value, schema = schema,
    revision = tonumber(revision), created = tonumber(created),
    expires = tonumber(expires), idle = tonumber(idle),
    ref = ref, digests = digests, writers = writers,
  }
end

-- Whether a credential with this digest opens r.
local function opens(r, digest)
  for d in string.gmatch(r.digests, '[^,]+') do
    if d == digest then return true end
  end
  return false
end

-- The revision that writer produced last, if it wrote within the last minute.
local function last_written(r, writer)
  for w, revision in string.gmatch(r.writers, '([^:,]+):(%d+):%d+') do
    if w == writer then return tonumber(revision) end
  end
  return nil
end

-- Until when r lives after an access now: its idle timeout and a sixteenth,
-- but never past its absolute deadline.
local function deadline(r, now)
  return math.min(now + r.idle + math.floor(r.idle / 16), r.expires)
end

-- Stores r, just written by writer, with new content.
local function write(key, r, now, writer, content)
  local writers = { writer .. ':' .. text(r.revision) .. ':' .. text(now) }
  for w, revision, time in string.gmatch(r.writers, '([^:,]+):(%d+):(%d+)') do
    if w ~= writer and tonumber(time) > now - WRITER_MEMORY then
      writers[#writers + 1] = w .. ':' .. revision .. ':' .. time
    end
  end
  local header = table.concat({
    SCHEMA, text(r.revision), text(r.created), text(r.expires), text(r.idle), text(now),
    r.ref, r.digests, table.concat(writers, ','),
  }, ' ')
  redis.call('SET', key, header .. '\n' .. content, 'PXAT', text(deadline(r, now)))
end

-- Takes a few members out of the index whose sessions have ended.
local function trim(index, now)
  local stale = redis.call('ZRANGE', index, '-inf', text(now), 'BYSCORE', 'LIMIT', 0, 32)
  if #stale > 0 then redis.call('ZREM', index, unpack(stale)) end
end
