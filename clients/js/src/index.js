export {Client} from './client.js';
export {FanwireError} from './errors.js';
export {Subscription} from './subscription.js';
