import { createHttpClient } from '../../functions/core/transfer/http.ts';
import { testHttpClient } from '../contracts/http-client.ts';

testHttpClient('the client over node:http', createHttpClient);
