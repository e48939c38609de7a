// Makes a component of a project in JavaScript or TypeScript: `node build.mjs PROJECT OUT.wasm WIT`, with RETAKE_TOOLS naming
// a directory whose `node_modules` has what `tools.json` lists. `retake build` calls it.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const [project, out, wit] = process.argv.slice(2).map((it) => resolve(it));
const tools = resolve(process.env.RETAKE_TOOLS ?? "");
const required = createRequire(join(tools, "package.json"));
const tool = (name, file) => import(pathToFileURL(file ? join(tools, "node_modules", name, file) : required.resolve(name)).href);

function refuse(message) {
  console.error(message);
  process.exit(1);
}

let about;
try {
  about = JSON.parse(readFileSync(join(project, "package.json"), "utf8"));
} catch (error) {
  refuse(`package.json: ${error.message}`);
}
if (typeof about.name !== "string" || !about.name) refuse("package.json: there is no `name`");
const named = about.retake?.module;
const module = named ?? ["flows.ts", "flows.js", "flows.mjs"].find((it) => existsSync(join(project, it)));
if (!module || !existsSync(join(project, module))) refuse(`there is no \`${named ?? "flows.ts` or `flows.js"}\`; \`"retake": {"module": "…"}\` in package.json names another`);

const own = join(project, "retake-sdk");
const sdk = existsSync(join(own, "package.json")) ? own : dirname(fileURLToPath(import.meta.url));
const alias = { retake: join(sdk, "src/index.js"), "retake/component": join(sdk, "src/component.js"), "retake/testing": join(sdk, "src/testing.js") };

if (/\.[mc]?ts$/.test(module)) {
  const own = join(project, "tsconfig.json");
  // What the project says counts, but for how modules are found and that nothing is written.
  const otherwise = { strict: true, target: "es2022", lib: ["es2022", "dom"], types: [], skipLibCheck: true };
  const config = {
    ...(existsSync(own) ? { extends: own } : {}),
    compilerOptions: {
      ...(existsSync(own) ? {} : otherwise),
      noEmit: true, module: "esnext", moduleResolution: "bundler", allowImportingTsExtensions: true,
      paths: { retake: [join(sdk, "src/index.d.ts")], "retake/testing": [join(sdk, "src/testing.d.ts")] },
    },
    files: [join(project, module)], include: [],
  };
  mkdirSync(dirname(out), { recursive: true });
  const file = join(dirname(out), "tsconfig.json");
  writeFileSync(file, JSON.stringify(config));
  const checked = spawnSync(process.execPath, [join(dirname(required.resolve("typescript/package.json")), "bin/tsc"), "--project", file], { stdio: ["ignore", 2, 2] });
  if (checked.status !== 0) refuse("the types do not fit: what TypeScript says stands above");
}

const text = (it) => JSON.stringify(String(it ?? ""));
const { build } = await tool("esbuild");
const bundled = await build({
  stdin: {
    contents: `import ${JSON.stringify(join(project, module))};\nimport { plugin as made } from "retake/component";\nexport const plugin = made(${text(about.name.split("/").pop())}, ${text(about.version)}, ${text(about.description)});\n`,
    resolveDir: project,
    sourcefile: "component.js",
  },
  bundle: true, format: "esm", target: "es2022", platform: "neutral", mainFields: ["module", "main"], conditions: ["import"],
  external: ["retake:*"], alias, keepNames: true, write: false, logLevel: "warning",
}).catch(() => refuse("the project does not bundle: what esbuild says stands above"));

const { componentize } = await tool("@bytecodealliance/componentize-js", "src/componentize.js");
try {
  const { component } = await componentize(bundled.outputFiles[0].text, { witPath: wit, worldName: "flow", disableFeatures: ["http", "fetch-event"] });
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, component);
} catch (error) {
  refuse(`${error?.message ?? error}\nthe component could not be made: what a module does when it is loaded happens while it is built, where there is no host`);
}
