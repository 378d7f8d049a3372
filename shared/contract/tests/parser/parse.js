// Prints what AsyncAPI's own parser has against the document on standard input, as JSON: an empty list is what we want.
import { readFileSync } from "node:fs";
import { Parser } from "@asyncapi/parser";

const { document, diagnostics } = await new Parser().parse(readFileSync(0, "utf8"));
const told = diagnostics.map(({ code, message, path }) => `${code} ${path.join(".")}: ${message}`);
console.log(JSON.stringify(document ? told : ["no document", ...told]));
