;; A component whose export has the right name, and a `describe` of the wrong type.
(component
  (core module $m
    (func (export "describe") (result i32) (i32.const 7))
  )
  (core instance $i (instantiate $m))
  (func $describe (result u32) (canon lift (core func $i "describe")))
  (instance $plugin (export "describe" (func $describe)))
  (export "retake:flow/plugin@0.1.0" (instance $plugin))
)
