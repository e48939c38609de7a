;; A component for a version of the contract that this host does not know yet.
(component
  (core module $m
    (func (export "describe") (result i32) (i32.const 7))
  )
  (core instance $i (instantiate $m))
  (func $describe (result u32) (canon lift (core func $i "describe")))
  (instance $plugin (export "describe" (func $describe)))
  (export "retake:flow/plugin@9.0.0" (instance $plugin))
)
