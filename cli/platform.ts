/** Where the functions are. Not where this process is: it does not reach the services from within their network. */
export function platformOf(variables: NodeJS.ProcessEnv): { region?: string; accountId?: string } {
  const region = variables['FC_REGION'] ?? variables['ALIBABA_CLOUD_REGION_ID'];
  const accountId = variables['FC_ACCOUNT_ID'] ?? variables['ALIBABA_CLOUD_ACCOUNT_ID'];
  return { ...(region === undefined ? {} : { region }), ...(accountId === undefined ? {} : { accountId }) };
}
