// Reads a list of work as JSON from standard input and answers as JSON on standard output:
//   {"documents": [{"name", "format": "turtle" | "jsonld", "file"}], "shapes": file or "", "schemas": [{"file", "resources": [file], "records": file}]}
// For each document: its statements in canonical N-Quads, and what the SHACL shapes say of it.
// For each schema: which of the records (one JSON text a line) are valid.
// Documents are read from files only; a JSON-LD context that would have to be fetched is an error.
import { readFileSync } from "node:fs";
import { DataFactory, Parser, Store, Writer } from "n3";
import jsonld from "jsonld";
import SHACLValidator from "rdf-validate-shacl";
import Ajv2020 from "ajv/dist/2020.js";
import addFormats from "ajv-formats";

const documentLoader = async (url) => {
  throw new Error("a remote context: " + url);
};

const text = (file) => readFileSync(file, "utf8");

async function quads(document) {
  if (document.format === "turtle") {
    return new Parser({ format: "text/turtle" }).parse(text(document.file));
  }
  const dataset = await jsonld.toRDF(JSON.parse(text(document.file)), { documentLoader, safe: true });
  return dataset.map((q) => DataFactory.quad(term(q.subject), term(q.predicate), term(q.object)));
}

// The statements as N-Quads, sorted. There are no blank nodes, so this form is canonical.
function canonical(all) {
  if (all.some((q) => q.subject.termType === "BlankNode" || q.object.termType === "BlankNode")) {
    throw new Error("a blank node");
  }
  return new Writer({ format: "application/n-quads" }).quadsToString(all).split("\n").sort().join("\n").trim() + "\n";
}

function term(t) {
  switch (t.termType) {
    case "NamedNode":
      return DataFactory.namedNode(t.value);
    case "Literal":
      return DataFactory.literal(t.value, t.language || DataFactory.namedNode(t.datatype.value));
  }
  return DataFactory.blankNode(t.value);
}

function check(schema) {
  const ajv = new Ajv2020({ strict: false, allErrors: false, validateFormats: true });
  addFormats(ajv);
  for (const file of schema.resources) {
    ajv.addSchema(JSON.parse(text(file)));
  }
  const validate = ajv.compile(JSON.parse(text(schema.file)));
  return text(schema.records).trimEnd().split("\n").map((line) => validate(JSON.parse(line)));
}

const work = JSON.parse(readFileSync(0, "utf8"));
const answer = { documents: [], schemas: [] };
let validator = null;
if (work.shapes) {
  validator = new SHACLValidator(new Store(new Parser().parse(text(work.shapes))));
}
for (const document of work.documents ?? []) {
  const result = { name: document.name, error: "", nquads: "", violations: [] };
  try {
    const all = await quads(document);
    result.nquads = canonical(all);
    if (validator && document.shacl) {
      const report = await validator.validate(new Store(all));
      result.violations = report.results.map((r) =>
        [r.severity?.value.split("#").pop(), r.focusNode?.value, r.path?.value, r.sourceConstraintComponent?.value.split("#").pop(), r.value?.value].join(" "));
    }
  } catch (e) {
    result.error = String(e?.message ?? e) + (e?.details ? " " + JSON.stringify(e.details) : "");
  }
  answer.documents.push(result);
}
for (const schema of work.schemas ?? []) {
  const result = { error: "", valid: [] };
  try {
    result.valid = check(schema);
  } catch (e) {
    result.error = String(e?.message ?? e);
  }
  answer.schemas.push(result);
}
process.stdout.write(JSON.stringify(answer));
