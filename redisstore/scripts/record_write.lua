-- After record.lua, in the scripts that do more than read.

local WRITER_MEMORY = 60000 -- ms for which a writer's last revision is remembered

local now_text = string.format('%d', now)

-- The revision that writer produced last, if it wrote within the last minute.
local function last_written(writer)
  for w, last in string.gmatch(writers, '([^:,]+):(%d+):%d+') do
    if w == writer then return tonumber(last) end
  end
  return nil
end

-- Stores the session as its fields now are, just written by writer, with new
-- content, and returns until when it lives.
local function write(writer, content)
  local recent = writer .. ':' .. revision .. ':' .. now_text
  for entry, w, time in string.gmatch(writers, '(([^:,]+):%d+:(%d+))') do
    if w ~= writer and now - time < WRITER_MEMORY then recent = recent .. ',' .. entry end
  end
  -- One expression makes one string, where string.format takes twice the time.
  local value = '1 ' .. revision .. ' ' .. created .. ' ' .. expires .. ' ' .. idle .. ' ' .. now_text
    .. ' ' .. ref .. ' ' .. digests .. ' ' .. recent .. '\n' .. content
  local at = deadline()
  redis.call('SET', KEYS[1], value, 'PXAT', at)
  return at
end

-- Takes a few members out of the index whose sessions have ended. Mostly there
-- are none, which ZCOUNT tells in half the time of ZRANGE.
local function trim()
  if redis.call('ZCOUNT', KEYS[2], '-inf', now_text) > 0 then
    local stale = redis.call('ZRANGE', KEYS[2], '-inf', now_text, 'BYSCORE', 'LIMIT', 0, 32)
    redis.call('ZREM', KEYS[2], unpack(stale))
  end
end
