/** The host names of a region, as bucket descriptions give them. */
export function endpointsOf(region: string): { ExtranetEndpoint: string; IntranetEndpoint: string } {
  return {
    ExtranetEndpoint: `oss-${region}.aliyuncs.com`,
    IntranetEndpoint: `oss-${region}-internal.aliyuncs.com`,
  };
}
