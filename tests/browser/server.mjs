// Starts real servers with fresh data, and asks them.
import { execFile, spawn } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");
export const UI = path.join(ROOT, "host/server/ui");
const RETAKE = path.resolve(process.env.RETAKE ?? path.join(ROOT, "target/debug/retake"));
const COMPONENTS = path.resolve(process.env.COMPONENTS ?? path.join(ROOT, "target/components"));
export const SHOTS = path.resolve(process.env.SHOTS ?? path.join(os.tmpdir(), "retake-shots"));
fs.mkdirSync(SHOTS, { recursive: true });

/** Returns the path of a component. */
export const component = (name) => path.join(COMPONENTS, `${name}.wasm`);

/** Waits until `what` returns something that counts. */
export async function until(what, ms = 20_000) {
  for (const end = Date.now() + ms; ; await sleep(50)) {
    const it = await what();
    if (it) return it;
    if (Date.now() > end) throw new Error(`waited for ${ms} ms: ${what}`);
  }
}

/** One file at a time: they measure, and a machine may have two cores. */
export async function turn() {
  const lock = path.join(os.tmpdir(), `retake-browser-${process.ppid}.lock`);
  await until(() => {
    try {
      fs.writeFileSync(lock, String(process.pid), { flag: "wx" });
      return true;
    } catch {
      const holder = Number(fs.readFileSync(lock, { encoding: "utf8", flag: "a+" }));
      try {
        process.kill(holder || process.ppid, 0);
      } catch {
        fs.rmSync(lock, { force: true });
      }
      return false;
    }
  }, 600_000);
  process.on("exit", () => fs.rmSync(lock, { force: true }));
}

/** Starts a server; `data` is a directory that is kept. */
export async function start(given = {}) {
  const data = given.data ?? fs.mkdtempSync(path.join(os.tmpdir(), "retake-browser-"));
  const env = { ...process.env, RETAKE_DATA: data, RETAKE_CONFIG: os.devNull };
  let process_;
  let port = 0;
  const server = { data, base: "", token: "" };
  server.begin = async () => {
    fs.rmSync(path.join(data, "server.json"), { force: true });
    process_ = spawn(RETAKE, ["server", "--listen", `127.0.0.1:${port}`, "--data", data], { env, stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    for (const stream of [process_.stdout, process_.stderr]) stream.on("data", (text) => (said += text));
    const url = await until(() => {
      if (process_.exitCode !== null) throw new Error(`the server ended: ${said}`);
      return said.match(/ at (http:\/\/127\.0\.0\.1:(\d+))/);
    });
    [, server.base, port] = url;
    server.token = fs.readFileSync(path.join(data, "token"), "utf8").trim();
  };
  server.kill = async (signal = "SIGKILL") => {
    if (process_.exitCode !== null || process_.signalCode !== null) return;
    const ended = new Promise((done) => process_.once("exit", done));
    process_.kill(signal);
    await ended;
  };
  server.stop = async () => {
    await server.kill();
    if (!given.data) fs.rmSync(data, { recursive: true, force: true });
  };
  server.ask = async (method, at, body) => {
    const isBytes = body instanceof Uint8Array;
    const answer = await fetch(`${server.base}/api/v1${at}`, {
      method,
      headers: { authorization: `Bearer ${server.token}`, ...(body && { "content-type": isBytes ? "application/wasm" : "application/json" }) },
      body: isBytes ? body : body && JSON.stringify(body),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${at}: ${answer.status} ${text}`);
    return text ? JSON.parse(text) : null;
  };
  server.cli = async (...args) => (await promisify(execFile)(RETAKE, args, { env })).stdout;
  /** Uploads a component, and deploys one of its flows. */
  server.deploy = async (name, flow, more = {}) => {
    const { digest } = await server.ask("POST", "/components", fs.readFileSync(component(name)));
    await server.ask("PUT", `/deployments/${encodeURIComponent(flow)}/dev`, { component: digest, ...more });
    return digest;
  };
  server.run = (ask) => server.ask("POST", "/flow-runs", ask);
  /** Waits until a run is in one of these states. */
  server.reaches = (id, ...states) => until(async () => {
    const run = await server.ask("GET", `/flow-runs/${id}`);
    return states.includes(run.state) && run;
  }, 60_000);
  await server.begin();
  return server;
}
