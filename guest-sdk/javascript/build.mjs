// Makes a component of a project in JavaScript or TypeScript: `node build.mjs PROJECT OUT.wasm WIT`, with RETAKE_TOOLS naming
// a directory whose `node_modules` has what `tools.json` lists. `retake build` calls it.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, realpathSync, writeFileSync } from "node:fs";
import { builtinModules, createRequire } from "node:module";
import { dirname, join, relative, resolve, sep } from "node:path";
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

const mine = join(project, "retake-sdk");
const sdk = existsSync(join(mine, "package.json")) ? realpathSync(mine) : dirname(fileURLToPath(import.meta.url));
const alias = { retake: join(sdk, "src/index.js"), "retake/component": join(sdk, "src/component.js"), "retake/missing": join(sdk, "src/missing.js"), "retake/testing": join(sdk, "src/testing.js") };
const { placed } = await import(pathToFileURL(join(sdk, "src/sourcemap.js")).href);

const own = join(project, "tsconfig.json");
if (/\.[mc]?ts$/.test(module)) {
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

const packageOf = (path) => /^(?:@[^/]+\/)?[^/]+/.exec(path)?.[0];
const isWithin = (dir, file) => file.startsWith(dir + sep);

/** Returns the directory of the package that a file belongs to. */
const packageDir = (file) => {
  let dir = dirname(file);
  while (!existsSync(join(dir, "package.json")) && dirname(dir) !== dir) dir = dirname(dir);
  return dir;
};

/** Lets a project have the packages that it names, and those have theirs: none of a directory above, or of the machine. */
const hermetic = {
  name: "hermetic",
  setup(build) {
    const modules = join(project, "node_modules");
    build.onResolve({ filter: /^[^./#]/ }, async ({ path, importer, resolveDir, kind, pluginData }) => {
      if (pluginData === hermetic || path in alias || path.startsWith("retake:") || isWithin(sdk, importer)) return undefined;
      const found = await build.resolve(path, { importer, resolveDir, kind, pluginData: hermetic });
      // What `paths` of a tsconfig.json leads to is the project's own.
      const isOwn = isWithin(project, found.path) && !found.path.includes(`${sep}node_modules${sep}`);
      if (found.errors.length || found.external || isOwn) return undefined;
      const name = packageOf(path);
      const isOfProject = !isWithin(modules, importer) && (isWithin(project, importer) || importer === "component.js");
      if (isOfProject && !isNamed(name)) return { errors: [{ text: unnamed(name) }] };
      // By the way that leads there: a package of a project may be a link, and have its own.
      if (isWithin(modules, found.path) || existsSync(join(modules, name)) || (!isOfProject && isWithin(packageDir(importer), found.path))) return undefined;
      return { errors: [{ text: `\`${name}\` is not in the \`node_modules\` of the project, but above it: \`npm install\` puts it there` }] };
    });
  },
};

const isNamed = (name) => name in (about.dependencies ?? {}) || name in (about.optionalDependencies ?? {}) || name === about.name;

function unnamed(name) {
  const what = name in (about.devDependencies ?? {}) ? "is one of the `devDependencies` of package.json, which are for tests" : "is not among the `dependencies` of package.json";
  return `\`${name}\` ${what}: \`npm install ${name}\` adds it`;
}

const INSTEAD = { crypto: "`globalThis.crypto` has randomUUID, getRandomValues and subtle.digest", buffer: "`Uint8Array`, `TextEncoder` and `btoa` do what it does" };

/** Says what to do about what could not be found. */
function told(message) {
  const path = /^Could not resolve "(.+)"$/.exec(message.text)?.[1];
  const [name, builtin] = [path && packageOf(path), path?.replace(/^node:/, "")];
  if (!path || /^[./]/.test(path)) return message;
  const text = builtinModules.includes(builtin)
    ? `\`${path}\` is a part of Node.js, which a sandbox does not have: ${INSTEAD[builtin] ?? "take a package that does without"}`
    : isNamed(name) ? `\`${name}\` is named in package.json, but not in \`node_modules\`: \`npm install\` puts it there` : unnamed(name);
  return { ...message, text, notes: [] };
}

const text = (it) => JSON.stringify(String(it ?? ""));
const { build, formatMessages } = await tool("esbuild");
const options = {
  stdin: {
    contents: `import "retake/missing";\nimport ${JSON.stringify(join(project, module))};\nimport { plugin as made } from "retake/component";\nexport const plugin = made(${text(about.name.split("/").pop())}, ${text(about.version)}, ${text(about.description)});\n`,
    resolveDir: project,
    sourcefile: "component.js",
  },
  bundle: true, format: "esm", target: "es2022", platform: "neutral", mainFields: ["module", "main"], conditions: ["import"],
  external: ["retake:*"], alias, plugins: [hermetic], nodePaths: [], keepNames: true, write: false, absWorkingDir: project,
  outfile: "source.js", sourcemap: "external", sourcesContent: false, logLevel: "silent",
  // One that lies above the project says nothing about it.
  ...(existsSync(own) ? { tsconfig: own } : { tsconfigRaw: {} }),
};
const tell = async (kind, messages) => messages.length && console.error((await formatMessages(messages.map(told), { kind, terminalWidth: 120 })).join(""));

/** Bundles so that each promise is one of ours (see src/kept.js): not where a module awaits at its top, which esbuild cannot do both. */
async function bundle() {
  try {
    return await build({ ...options, supported: { "async-await": false, "async-generator": false, "for-await": false } });
  } catch (error) {
    if (!error.errors?.some((it) => it.text.startsWith("Top-level await"))) throw error;
    return build(options);
  }
}
const bundled = await bundle().catch(async (error) => {
  await tell("error", error.errors ?? [{ text: error.message }]);
  refuse("the project does not bundle: what esbuild says stands above");
});
await tell("warning", bundled.warnings);

// For stacks: which line of which file a line of the bundle was. It lies behind the bundle, so that no line moves.
const map = JSON.parse(bundled.outputFiles.find((it) => it.path.endsWith(".map")).text);
const sources = map.sources.map((it) => (isWithin(sdk, resolve(project, it)) ? `<retake>/${relative(sdk, resolve(project, it))}` : relative(project, resolve(project, it))));
const places = { sources, mappings: map.mappings };
const source = `${bundled.outputFiles.find((it) => it.path.endsWith(".js")).text}\n;globalThis[Symbol.for("retake.sources")] = ${JSON.stringify(places)};\n`;

const { componentize } = await tool("@bytecodealliance/componentize-js", "src/componentize.js");
try {
  const { component } = await componentize(source, { witPath: wit, worldName: "flow", disableFeatures: ["http", "fetch-event"] });
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(out, component);
} catch (error) {
  const said = placed(String(error?.message ?? error), "source.js", places);
  // What was thrown is told a second time, as a promise that failed.
  const [once] = said.split("\nAdditionally, some promises were rejected");
  const reason = once.replace(/^Failed to initialize component .*:\n/, "").replace("Exception while evaluating top-level script", "a module fails when it is loaded:");
  const hint = /invalid property name in regular expression/.test(reason) ? "the engine knows no `\\p{…}`, because it has no tables of Unicode: write the letters, or ranges of them\n" : "";
  refuse(`${reason}\n${hint}the component could not be made: what a module does when it is loaded happens while it is built, where there is no host`);
}
