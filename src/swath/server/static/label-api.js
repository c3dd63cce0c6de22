// Requests to /label, and the queue of strokes that are not saved yet.

export class Refusal extends Error {
  constructor(status, detail, code) {
    super(detail);
    this.status = status;
    this.code = code;
  }

  // Whether the same request may succeed later.
  get passing() { return this.status === 0 || this.status >= 500 || this.status === 429; }
}

export async function call(method, path, body) {
  const options = { method };
  if (body !== undefined) Object.assign(options, { headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  let answer;
  try {
    answer = await fetch(`/label${path}`, options);
  } catch {
    throw new Refusal(0, "The server does not answer.", "no-server");
  }
  const content = await answer.json().catch(() => ({}));
  if (answer.ok) return content;
  const detail = typeof content.detail === "string" ? content.detail : `The server answered with status ${answer.status}.`;
  throw new Refusal(answer.status, detail, content.code);
}

// With its key, a stroke whose answer was lost is stored once however often it is sent.
function keyed(body) {
  const part = (number) => number.toString(16).padStart(8, "0");
  return { key: [...crypto.getRandomValues(new Uint32Array(4))].map(part).join(""), ...body };
}

const WAIT_MS = [1000, 2000, 4000, 8000];

// Strokes in their order. They outlive a reload of the page and a restart of the server.
export class Queue {
  constructor(key, { saved, changed }) {
    Object.assign(this, { key, saved, changed, items: [], running: null, failures: 0 });
    try {
      this.items = JSON.parse(localStorage.getItem(key) || "[]").map((body) => ({ body: keyed(body), error: null }));
    } catch { /* a damaged entry holds nothing */ }
  }

  get failed() { return this.items.filter((item) => item.error); }

  add(body) {
    this.items.push({ body: keyed(body), error: null });
    this.note();
    return this.run();
  }

  note() {
    try {
      if (this.items.length) localStorage.setItem(this.key, JSON.stringify(this.items.map((item) => item.body)));
      else localStorage.removeItem(this.key);
    } catch { /* without storage they last as long as the page */ }
    this.changed();
  }

  run() {
    clearTimeout(this.timer);
    this.running ??= this.work().finally(() => { this.running = null; });
    return this.running;
  }

  async work() {
    for (let item; (item = this.items.find((one) => !one.refused));) {
      try {
        const answer = await call("POST", "/features", { features: [item.body] });
        this.items.splice(this.items.indexOf(item), 1);
        this.failures = 0;
        this.saved(answer);
        this.note();
      } catch (error) {
        item.error = error.message;
        item.refused = error instanceof Refusal && !error.passing;
        this.note();
        if (item.refused) continue;
        this.timer = setTimeout(() => this.run(), WAIT_MS[Math.min(this.failures++, WAIT_MS.length - 1)]);
        return;
      }
    }
  }

  retry() {
    for (const item of this.items) Object.assign(item, { refused: false, error: null });
    return this.run();
  }

  discard() {
    this.items = this.items.filter((item) => !item.error);
    this.note();
  }
}
