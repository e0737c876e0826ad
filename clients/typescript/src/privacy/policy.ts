export interface PolicyOptions { [name: string]: unknown }
export class Policy { static of(_o: PolicyOptions): Policy { return new Policy(); } }
