// Netron's reader without its window: node scripts/netron-read.mjs NETRON_FOLDER FILE...
// One JSON document on standard output: for each file what Netron shows of it, or the error it would show.

import * as fs from 'node:fs';
import * as path from 'node:path';
import * as url from 'node:url';

const [folder, ...files] = process.argv.slice(2);
const load = (name) => import(url.pathToFileURL(path.join(folder, name)));
const base = await load('base.js');
const view = await load('view.js');

const read = async (file) => {
    const errors = [];
    const host = {
        environment: () => null,
        require: (id) => load(`${id.replace(/^\.\//, '')}.js`),
        request: (name, encoding) => fs.promises.readFile(path.join(folder, name), encoding ?? null),
        exception: (error) => errors.push(String(error)),
        event: () => {},
        update: () => {},
    };
    const context = {
        identifier: path.basename(file),
        entries: new Map(),
        stream: new base.BinaryStream(new Uint8Array(fs.readFileSync(file))),
        request: host.request,
        require: host.require,
        error: (error) => errors.push(String(error)),
    };
    const model = await new view.ModelFactoryService(host).open(context);
    const [graph] = model.modules;
    const tensors = (list) => list.flatMap((each) => each.value.map((one) => String(one.type)));
    return {
        errors,
        format: model.format,
        name: model.name,
        operators: graph.nodes.length,
        inputs: tensors(graph.inputs),
        outputs: tensors(graph.outputs),
    };
};

const answers = [];
for (const file of files) {
    answers.push(await read(file).catch((error) => ({ errors: [String(error)] })));
}
console.log(JSON.stringify(answers));
