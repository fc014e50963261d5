export {Client} from './client.js';
export {FanwireError} from './errors.js';
