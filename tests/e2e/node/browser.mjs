// A browser for the tests, driven by playwright-core: JSON lines on stdin and stdout, one answer a command: {"value": ...} or {"error": "..."}.
//   {"executable": "/usr/bin/chromium", "arguments": [...], "history": "kept"}   first: the browser to start; history kept: pages that
//                                                                                were left stay in memory, as they do for people
//   {"do": "open", "tab": "a", "person": "x"}        a tab; a person's tabs share cookies and storage
//   {"do": "goto" | "back" | "reload", "tab", "url"} go somewhere, until the page is loaded: {status, url} (status null: no new answer)
//   {"do": "click", "tab", "selector", "until"}      press, until an event of the tab: load (the default) or pageerror; the event's text
//   {"do": "evaluate", "tab", "code", "argument"}    what a function in the page gives
//   {"do": "look", "tab"}                            {url, title, text, protocol}
//   {"do": "cookies" | "set-cookies", "person", "cookies"}
//   {"do": "requests", "tab"}                        what the tab has asked for since the last call: [[method, url, status], ...], in the
//                                                    order of the answers, favicon.ico left out; what came from memory is not among them.
//                                                    What the browser keeps from the page has an error for its status
//   {"do": "forget"}                                close all tabs; their people are gone
//   {"do": "shot", "tab", "path"}                    a picture
import { createInterface } from 'node:readline'

import { chromium } from 'playwright-core'

const TIMEOUT = 20000
const people = new Map()
const tabs = new Map()
let browser

async function start ({ executable, arguments: args, history }) {
  browser = await chromium.launch({
    executablePath: executable,
    args: ['--no-sandbox', ...args],
    ignoreDefaultArgs: history === 'kept' ? ['--disable-back-forward-cache'] : [],
    timeout: 60000
  })
  return browser.version()
}

async function person (name) {
  if (!people.has(name)) {
    const context = await browser.newContext({ locale: 'en-US', viewport: { width: 900, height: 600 } })
    context.setDefaultTimeout(TIMEOUT)
    people.set(name, context)
  }
  return people.get(name)
}

async function open (tab, who) {
  const page = await (await person(who)).newPage()
  const seen = []
  const note = ([method, url] = [null, null], status) => {
    if (!url?.endsWith('/favicon.ico')) seen.push([method, url, status])
  }
  const session = await page.context().newCDPSession(page)
  await session.send('Network.enable')
  const asked = new Map()
  const cached = new Set()
  session.on('Network.requestWillBeSent', ({ requestId, request, redirectResponse }) => {
    if (redirectResponse) note(asked.get(requestId), redirectResponse.status)
    asked.set(requestId, [request.method, request.url])
  })
  session.on('Network.requestServedFromCache', ({ requestId }) => cached.add(requestId))
  session.on('Network.responseReceived', ({ requestId, response }) => {
    if (!cached.has(requestId) && !response.fromDiskCache) note(asked.get(requestId), response.status)
  })
  session.on('Network.loadingFailed', ({ requestId, errorText, blockedReason, corsErrorStatus }) =>
    note(asked.get(requestId), corsErrorStatus?.corsError ?? blockedReason ?? errorText))
  tabs.set(tab, { page, seen })
}

async function forget () {
  await Promise.all([...people.values()].map((context) => context.close()))
  people.clear()
  tabs.clear()
}

async function press (page, selector, until) {
  const [event] = await Promise.all([page.waitForEvent(until), page.click(selector)])
  return until === 'pageerror' ? String(event) : null
}

async function look (page) {
  const [text, protocol] = await page.evaluate(() => [document.body.innerText, performance.getEntriesByType('navigation')[0].nextHopProtocol])
  return { url: page.url(), title: await page.title(), text, protocol }
}

// A page that comes from memory has loaded long ago, and says so to nobody.
function loaded () {
  return new Promise((resolve) => document.readyState === 'complete' ? resolve() : window.addEventListener('load', resolve))
}

async function move (page, how, url) {
  const options = { waitUntil: 'load' }
  const answer = await (how === 'goto' ? page.goto(url, options) : how === 'back' ? page.goBack({ waitUntil: 'commit' }) : page.reload(options))
  if (how === 'back') await page.evaluate(loaded)
  return { status: answer ? answer.status() : null, url: page.url() }
}

async function obey (command) {
  const { page, seen } = tabs.get(command.tab) ?? {}
  switch (command.do) {
    case 'open': return open(command.tab, command.person)
    case 'goto': case 'back': case 'reload': return move(page, command.do, command.url)
    case 'click': return press(page, command.selector, command.until ?? 'load')
    case 'evaluate': return page.evaluate(`(${command.code})(${JSON.stringify(command.argument ?? null)})`)
    case 'look': return look(page)
    case 'cookies': return (await person(command.person)).cookies()
    case 'set-cookies': return (await person(command.person)).addCookies(command.cookies)
    case 'requests': return seen.splice(0)
    case 'forget': return forget()
    case 'shot': return void await page.screenshot({ path: command.path })
    default: throw new Error(`what is ${command.do}?`)
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  let answer
  try {
    answer = { value: (await (browser ? obey : start)(JSON.parse(line))) ?? null }
  } catch (error) {
    answer = { error: String(error?.stack ?? error) }
  }
  console.log(JSON.stringify(answer))
}
await browser?.close()
process.exit(0)
