import { createLeanHttpClient } from '../../functions/core/transfer/lean-http.ts';
import { testHttpClient } from '../contracts/http-client.ts';

testHttpClient('the lean client', createLeanHttpClient);
