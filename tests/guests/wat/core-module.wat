;; A core module: WebAssembly, but no component.
(module
  (func (export "describe") (result i32) (i32.const 7))
)
