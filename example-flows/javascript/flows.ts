// All flows of the component: `retake build example-flows/javascript`.
import "./behaviours.ts";
import "./fan_out.ts";
import "./orders.ts";
import "./retry_it.ts";
import "./stored.ts";
