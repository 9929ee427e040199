#!/usr/bin/env node
// A solc for forge that makes interfaces and no code, in seconds instead of minutes: the code comes from compiler.py.
const fs = require("fs");
const path = require("path");
const { createRequire } = require("module");

const solc = createRequire(path.join(process.cwd(), "package.json"))("solc");
if (process.argv.includes("--version")) {
  console.log("solc, the solidity compiler commandline interface\nVersion: " + solc.version().replace(".Emscripten.clang", ".Linux.g++"));
  process.exit(0);
}
const input = JSON.parse(fs.readFileSync(0, "utf8"));
for (const contracts of Object.values(input.settings.outputSelection)) {
  for (const name of Object.keys(contracts)) {
    contracts[name] = contracts[name].filter((part) => !/^evm\.(bytecode|deployedBytecode)/.test(part));
  }
}
process.stdout.write(solc.compile(JSON.stringify(input)));
