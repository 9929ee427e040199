// The compiler of package.json, kept warm: one standard JSON input a line in, one output a line out. Files that the input
// does not hold are read under the working directory.
const fs = require("fs");
const path = require("path");
const readline = require("readline");
const { createRequire } = require("module");

const solc = createRequire(path.join(process.cwd(), "package.json"))("solc");
const read = (file) => {
  try {
    return { contents: fs.readFileSync(file, "utf8") };
  } catch {
    return { error: "File not found: " + file };
  }
};
readline.createInterface({ input: process.stdin }).on("line", (line) => {
  process.stdout.write(JSON.stringify(JSON.parse(solc.compile(line, { import: read }))) + "\n");
});
