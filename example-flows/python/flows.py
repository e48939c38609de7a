"""All flows of the component: `retake build example-flows/python`."""

import behaviours  # noqa: F401
import fan_out  # noqa: F401
import manual_retry  # noqa: F401
import orders  # noqa: F401
import retry_it  # noqa: F401
import stored  # noqa: F401
