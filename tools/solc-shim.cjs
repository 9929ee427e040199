#!/usr/bin/env node
// solc's command line, as far as forge uses it, over npm's build of the compiler.
const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");

const roots = [process.env.ASSAY_ROOT, process.cwd(), "@ROOT@"].filter(Boolean);
const solc = (() => {
  for (const root of roots) {
    try {
      return createRequire(path.join(root, "package.json"))("solc");
    } catch {}
  }
  console.error("solc: npm's solc is installed in none of " + roots.join(", "));
  process.exit(1);
})();

const args = process.argv.slice(2);
if (args.includes("--version")) {
  console.log("solc, the solidity compiler commandline interface\nVersion: " + solc.version().replace(".Emscripten.clang", ".Linux.g++"));
  process.exit(0);
}
if (!args.includes("--standard-json")) {
  console.error("solc: only --version and --standard-json are supported");
  process.exit(1);
}
const value = (flag) => (args.includes(flag) ? args[args.indexOf(flag) + 1] : undefined);
const bases = [value("--base-path"), value("--include-path"), "."].filter(Boolean);
const callback = (file) => {
  for (const base of bases) {
    const full = path.resolve(base, file);
    if (fs.existsSync(full)) return { contents: fs.readFileSync(full, "utf8") };
  }
  return { error: "File not found: " + file };
};
process.stdout.write(solc.compile(fs.readFileSync(0, "utf8"), { import: callback }));
