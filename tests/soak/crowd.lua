-- What a crowd of clients asks for, and whether each answer is the right one: it says again what was wanted (X-Want).
-- Each line of TR_ASKS: a group, a path, the answer that must come (status,reason,what the page was told), when the token
-- expires, the token. TR_SHARES: how often each group comes.

local ffi = require("ffi")
ffi.cdef("int getpid(void); int kill(int pid, int signal);")

local groups, shares, sum = {}, {}, 0
local sent, limit, at = 0, tonumber(os.getenv("TR_REQUESTS")), 0
local threads = {}

verdicts, wrong, count = {}, {}, { wrong = 0, late = 0 }

function setup(thread)
    threads[#threads + 1] = thread
end

local function headers_of(group, want, token)
    local headers = { ["X-Want"] = want }
    if token ~= "-" then headers["Authorization"] = "Bearer " .. token end
    if group == "brief" then headers["Connection"] = "close" end
    return headers
end

function init(args)
    local made = {}
    math.randomseed(tonumber(os.getenv("TR_SEED")))
    for line in io.lines(os.getenv("TR_ASKS")) do
        local group, path, want, expires, token = line:match("^(%S+) (%S+) (%S+) (%d+) (%S+)$")
        if not made[line] then
            made[line] = { wrk.format("GET", path, headers_of(group, want .. "," .. expires, token)), tonumber(expires) }
        end
        groups[group] = groups[group] or {}
        table.insert(groups[group], made[line])
    end
    for group, share in os.getenv("TR_SHARES"):gmatch("(%w+)=(%d+)") do
        if groups[group] then
            sum = sum + tonumber(share)
            shares[#shares + 1] = { sum, group }
        end
    end
end

local function draw()
    local n = math.random(sum)
    for _, share in ipairs(shares) do
        if n <= share[1] then return share[2] end
    end
end

-- One that is about to expire is not sent; a token of the group that never ends comes in its place.
local function pick(group)
    local list, ask = groups[group], nil
    if group == "fresh" then
        at = at + 1
        ask = list[at]
    else
        ask = list[math.random(#list)]
    end
    if not ask or (group ~= "expired" and ask[2] <= os.time() + 1) then return groups.hot[math.random(#groups.hot)] end
    return ask
end

function request()
    sent = sent + 1
    if sent == limit then ffi.C.kill(ffi.C.getpid(), 2) end -- wrk's own end only comes with its time
    return pick(draw())[1]
end

-- What was good when it was sent may have expired since.
local function is_late(want, verdict)
    return verdict == "401,expired" and os.time() >= tonumber(want:match(",(%d+)$"))
end

function response(status, headers, body)
    local want, verdict = headers["X-Want"] or "nothing", status .. "," .. (headers["X-Reason"] or "-")
    local told = verdict .. "," .. (headers["X-Told"] or "-") .. ","
    verdicts[verdict] = (verdicts[verdict] or 0) + 1
    if want:sub(1, #told) == told then return end
    if is_late(want, verdict) then
        count.late = count.late + 1
        return
    end
    count.wrong = count.wrong + 1
    if #wrong < 10 then wrong[#wrong + 1] = "wanted " .. want .. ", got " .. told .. " at " .. os.time() end
end

function done(summary, latency, requests)
    for _, thread in ipairs(threads) do
        for verdict, n in pairs(thread:get("verdicts")) do print("VERDICT", verdict, n) end
        for _, text in ipairs(thread:get("wrong")) do print("WRONG", text) end
        for what, n in pairs(thread:get("count")) do print("COUNT", what, n) end
    end
    for _, what in ipairs({ "connect", "read", "write", "timeout" }) do print("COUNT", what, summary.errors[what]) end
end
