"""What Redis does for a page by itself: it chooses by what is walked, reads candidates in order, tests them.

A script, since what is tested depends on what was read, and what is read on what was counted: each would be a round
trip. It only reads. Nobody else is served meanwhile, so what it may look at is bounded by who asks.
"""

from collections.abc import Sequence
from hashlib import sha1
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

_SCRIPT = r"""
local q = cmsgpack.unpack(ARGV[1])
local answer = redis.call('MGET', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
if answer[1] ~= q.generation then return answer end
if q.place then q.place[2] = ARGV[2] end
if q.given then q.given = {unpack(ARGV, 3)} end
for _, source in ipairs(q.sources) do
  if source.by == 'BYLEX' and source.high ~= '+' then source.high = source.high .. '\255' end
end

local ID, MAX_WORD, MAX_WORDS = 16, 32, 40 -- as in customerflow_shared.indexing
local AT_ONCE = 1000 -- arguments of a command
local customer_of = function(member) return member:sub(-ID) end

-- by bytes: `<` would go by the server's locale
local function earlier(one, other)
  for at = 1, math.min(#one, #other) do
    local a, b = one:byte(at), other:byte(at)
    if a ~= b then return a < b end
  end
  return #one < #other
end

-- what is walked: the smallest of those in the order that is wanted, unless there is one that can be put in order

local sizes, chosen, gathering = q.sizes, q.chosen, false
if not chosen then
  sizes = {}
  local function smallest(numbers)
    local found = numbers[1]
    for _, number in ipairs(numbers) do
      if sizes[number] < sizes[found] then found = number end
    end
    return found
  end
  for number, source in ipairs(q.sources) do
    sizes[number] = 0
    if source.counted then
      for _, key in ipairs(source.keys) do
        local count = source.by == 'BYLEX' and 'ZLEXCOUNT' or 'ZCOUNT'
        sizes[number] = sizes[number] + redis.call(count, KEYS[key], source.low, source.high)
      end
    end
  end
  local least = smallest(q.counted)
  chosen = smallest(q.ordered)
  gathering = sizes[least] <= q.gathered and least ~= chosen
  if gathering then chosen = least end
end
local source = q.sources[chosen]

-- tests: those that the source does not satisfy by itself, the one that fewest satisfy first

local checks, each, asked = {}, q.extra, 0
for _, check in ipairs(q.checks) do
  local needed, rank = true, math.huge
  for _, number in ipairs(check.spared_by) do needed = needed and number ~= chosen end
  for _, number in ipairs(check.sized_by) do rank = math.min(rank, sizes[number]) end
  if needed then
    check.rank = rank
    check.cost = check.kind == 'named' and 2 or #check.keys -- a text is about twice as dear as a number
    each = each + check.cost
    table.insert(checks, check)
  end
end
table.sort(checks, function(one, other) return one.rank < other.rank end)

local function cut(word)
  if #word <= MAX_WORD then return word end
  return word:match('^' .. ('[^\128-\191][\128-\191]*'):rep(MAX_WORD)) or word
end

local function searchable(names)
  local text = ' ' .. names:gsub('\n', ' ')
  if select(2, text:gsub(' ', ' ')) <= MAX_WORDS then return text end
  local found, seen = {}, {}
  for word in text:gmatch('[^ ]+') do
    word = cut(word)
    if not seen[word] and #found < MAX_WORDS then
      seen[word] = true
      table.insert(found, ' ' .. word)
    end
  end
  return table.concat(found)
end

-- of several words by which a customer is found only the first one counts
local function stands_there(text, member)
  local word, wanted, from = member:sub(1, -ID - 2), ' ' .. q.words[source.word], 1
  while true do
    local at = text:find(wanted, from, true)
    if not at then return true end
    if earlier(cut(text:match('^[^ ]+', at + 1)), word) then return false end
    from = at + 1
  end
end

local tests = {}

function tests.any(check, customers)
  local passed = {}
  for _, key in ipairs(check.keys) do
    for at, score in ipairs(redis.call('ZMSCORE', KEYS[key], unpack(customers))) do
      if score then passed[at] = true end
    end
  end
  return passed
end

function tests.none(check, customers)
  local has, passed = tests.any(check, customers), {}
  for at = 1, #customers do passed[at] = not has[at] end
  return passed
end

function tests.within(check, customers)
  local passed = redis.call('ZMSCORE', KEYS[check.keys[1]], unpack(customers))
  for at, score in ipairs(passed) do
    score = tonumber(score or nil)
    passed[at] = score and score >= check.low and score < check.high
  end
  return passed
end

function tests.named(check, customers, members)
  local passed = redis.call('HMGET', KEYS[check.keys[1]], unpack(customers))
  for at, names in ipairs(passed) do
    local text = names and searchable(names)
    for _, word in ipairs(q.words) do
      if text and not text:find(' ' .. word, 1, true) then text = false end
    end
    passed[at] = text and (not q.relevance or stands_there(text, members[at]))
  end
  return passed
end

local function tested(members, scores)
  for _, check in ipairs(checks) do
    if #members == 0 then break end
    local customers, kept, kept_scores = {}, {}, {}
    for at, member in ipairs(members) do customers[at] = customer_of(member) end
    asked = asked + #members * check.cost
    local passed = tests[check.kind](check, customers, members)
    for at, member in ipairs(members) do
      if passed[at] then
        kept[#kept + 1], kept_scores[#kept + 1] = member, scores[at] or false
      end
    end
    members, scores = kept, kept_scores
  end
  return members, scores
end

-- those that can be put in order: all of them, with what they are ordered by

if gathering then
  local all, seen = {}, {}
  for _, key in ipairs(source.keys) do
    for _, member in ipairs(redis.call('ZRANGE', KEYS[key], source.low, source.high, source.by)) do
      local customer = customer_of(member)
      if not seen[customer] then table.insert(all, customer) end
      seen[customer] = true
    end
  end
  local affordable = #all * each <= q.ask
  local members, placed = {}, {}
  q.relevance = false
  for first = 1, #all, AT_ONCE do
    local some = {unpack(all, first, math.min(first + AT_ONCE - 1, #all))}
    if affordable then some = tested(some, {}) end
    if #some > 0 then
      for _, by in ipairs(redis.call(q.placing, KEYS[q.placing_key], unpack(some))) do table.insert(placed, by) end
      for _, member in ipairs(some) do table.insert(members, member) end
    end
  end
  answer[5] = {chosen, affordable and 'tested' or 'gathered', 1, 0, asked, #members, false, false}
  answer[6], answer[7], answer[8] = sizes, members, placed
  return answer
end

-- those that come after a place, in order

local function ranked(key)
  local low, high, place, first, last = source.low, source.high, q.place
  if q.descending then
    first = high == '+inf' and 0 or redis.call('ZCOUNT', key, high:sub(2), '+inf')
  else
    first = low == '-inf' and 0 or redis.call('ZCOUNT', key, '-inf', '(' .. low)
  end
  local set = {key = key, ends = first + redis.call('ZCOUNT', key, low, high), buffer = {}, at = 1}
  if place then
    local score = place[1]
    if q.descending then
      first = redis.call('ZCOUNT', key, '(' .. score, '+inf')
    else
      first = redis.call('ZCOUNT', key, '-inf', '(' .. score)
    end
    last = first + redis.call('ZCOUNT', key, score, score)
    while first < last do -- among those of one time, as an import makes them
      local middle = math.floor((first + last) / 2)
      local beyond
      if q.descending then
        beyond = earlier(redis.call('ZRANGE', key, middle, middle, 'REV')[1], place[2])
      else
        beyond = earlier(place[2], redis.call('ZRANGE', key, middle, middle)[1])
      end
      if beyond then last = middle else first = middle + 1 end
    end
  end
  set.rank = first
  return set
end

local function head(set, count)
  if set.at > #set.buffer and set.rank < set.ends then
    local last = math.min(set.rank + count, set.ends) - 1
    if q.descending then
      set.buffer = redis.call('ZRANGE', set.key, set.rank, last, 'REV', 'WITHSCORES')
    else
      set.buffer = redis.call('ZRANGE', set.key, set.rank, last, 'WITHSCORES')
    end
    set.rank, set.at = last + 1, 1
  end
  return set.buffer[set.at], set.buffer[set.at + 1]
end

local take
if q.given then
  local taken = 0
  take = function(count)
    local members = {unpack(q.given, taken + 1, math.min(taken + count, #q.given))}
    taken = taken + #members
    return members, {}, taken == #q.given
  end
elseif source.by == 'BYLEX' then
  local low, high = source.low, source.high
  local function from(member)
    if q.descending then high = '(' .. member else low = '(' .. member end
  end
  if q.place then from(q.place[2]) end
  take = function(count)
    local members
    if q.descending then
      members = redis.call('ZRANGE', KEYS[source.keys[1]], high, low, 'BYLEX', 'REV', 'LIMIT', 0, count)
    else
      members = redis.call('ZRANGE', KEYS[source.keys[1]], low, high, 'BYLEX', 'LIMIT', 0, count)
    end
    if #members > 0 then from(members[#members]) end
    return members, {}, #members < count
  end
else
  local sets, last = {}, nil
  for at, key in ipairs(source.keys) do sets[at] = ranked(KEYS[key]) end
  local function next_of_all(count)
    local best, member, score
    for _, set in ipairs(sets) do
      local one, its = head(set, count)
      if one then
        local before = not best
        if best and #sets > 1 then
          local a, b = tonumber(its), tonumber(score)
          if a == b then before = earlier(one, member) else before = a < b end
          if q.descending then before = not before end
        end
        if before then best, member, score = set, one, its end
      end
    end
    if best then best.at = best.at + 2 end
    return member, score
  end
  take = function(count)
    local members, scores = {}, {}
    local each_set = #sets == 1 and count or math.min(count, math.max(q.fewest, math.floor(count / #sets)))
    while #members < count do
      local member, score = next_of_all(each_set)
      if not member then return members, scores, true end
      if member ~= last then -- else it is in several sets
        table.insert(members, member)
        table.insert(scores, score)
        last = member
      end
    end
    return members, scores, false
  end
end

-- and those of them that pass, until they are enough or have cost enough

local found, placed, number, looked, ended = {}, {}, 0, 0, false
local last, last_score = false, false
local count = each > 0 and q.first or q.alone
while looked < q.look_at and asked < q.ask and number < q.enough and not ended do
  local affordable = each > 0 and math.floor((q.ask - asked) / each) or q.look_at
  local members, scores, over = take(math.min(count, q.look_at - looked, math.max(q.step, affordable)))
  looked, ended, count = looked + #members, over, 2 * count
  if #members > 0 then last, last_score = members[#members], scores[#members] or false end
  members, scores = tested(members, scores)
  asked = asked + #members * q.extra
  for at, member in ipairs(members) do
    number = number + 1
    if not q.counting then
      found[number], placed[number] = member, scores[at] or false
    end
    if number == q.enough and member ~= last then
      last, last_score, ended = member, scores[at] or false, false
      break
    end
  end
  -- as many as it will take if as few of them pass
  if number > 0 then count = math.ceil(1.25 * (q.enough - number) * looked / number) end
  count = math.max(1, math.min(q.chunk, count))
end
answer[5] = {chosen, 'walked', ended and 1 or 0, looked, asked, number, last, last_score}
answer[6], answer[7], answer[8] = sizes, found, placed
return answer
"""
_SHA = sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()


async def run(redis: Redis, keys: Sequence[str], *asking: bytes) -> list[Any]:
    """`asking` is what cmsgpack can read, which knows no bytes but text; then the member of the place, and those that
    are given.
    """
    call: Any = redis  # redis-py's types know no bytes here
    try:
        return cast(list[Any], await call.evalsha_ro(_SHA, len(keys), *keys, *asking))
    except NoScriptError:  # Redis has been restarted, or is new
        return cast(list[Any], await call.eval_ro(_SCRIPT, len(keys), *keys, *asking))
