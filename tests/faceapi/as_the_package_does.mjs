// The package's own answers: node as_the_package_does.mjs PACKAGE PICTURES SIDE NETWORK ANSWERS
import fs from 'fs';
import path from 'path';

const [folder, pictures, size, network, answers] = process.argv.slice(2);
// The bundle is a browser's: where it believes to be in node it asks for a module that it does not bring along.
Object.defineProperty(process.versions, 'node', { value: undefined });
const faceapi = await import(path.join(folder, 'dist', 'face-api.esm.js'));
const tf = faceapi.tf;
const none = () => { throw new Error('there is no canvas here'); };
tf.env().setPlatform('plain', {
  isTypedArray: (value) => ArrayBuffer.isView(value) && !(value instanceof DataView),
  now: () => performance.now(),
});
faceapi.env.setEnv({
  Canvas: class {}, CanvasRenderingContext2D: class {}, Image: class {}, ImageData: class {}, Video: class {},
  createCanvasElement: none, createImageElement: none, createVideoElement: none, fetch: none, readFile: none,
});
await tf.setBackend('cpu');

const [stem, net] = {
  expression: ['face_expression_model', faceapi.nets.faceExpressionNet],
  landmarks: ['face_landmark_68_model', faceapi.nets.faceLandmark68Net],
  identity: ['face_recognition_model', faceapi.nets.faceRecognitionNet],
}[network];
const manifest = JSON.parse(fs.readFileSync(path.join(folder, 'model', `${stem}-weights_manifest.json`)));
const weights = new Uint8Array(fs.readFileSync(path.join(folder, 'model', `${stem}.bin`))).buffer;
net.loadFromWeightMap(tf.io.decodeWeights(weights, manifest[0].weights));

const side = Number(size), bytes = side * side * 3, raw = fs.readFileSync(pictures), found = [];
for (let at = 0; at < raw.length; at += bytes) {
  const picture = tf.tensor4d(new Uint8Array(raw.subarray(at, at + bytes)), [1, side, side, 3], 'int32');
  found.push(Array.from(await (await net.forward(picture)).data()));
}
fs.writeFileSync(answers, JSON.stringify(found));
