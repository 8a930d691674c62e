! A learned closure in a solver of somebody else's: the loop of `lacuna rollout`, one member, in forty lines.
!
! usage: closed_loop CHECKPOINT START OUT SNAPSHOTS STRIDE EVERY START_TIME    (START, OUT: raw doubles)
!
! Crank-Nicolson for viscosity, Euler for the rest; transforms by the matrix of the DFT, slow and short. A draw every EVERY steps:
! its mean is held and its fluctuation scaled by 1/sqrt(EVERY).
program closed_loop
  use, intrinsic :: iso_c_binding
  use lacuna
  implicit none
  real(c_double), parameter :: viscosity = 1d-3, forcing = 0.1d0, dt = 1d-3, tau = 2 * acos(-1d0)
  integer(c_int64_t), parameter :: seed = 20771
  type(closure_t) :: closure
  real(c_double), allocatable :: w(:, :), mean(:, :), h(:, :), rate(:, :), f(:, :), k(:)
  complex(c_double), allocatable :: dft(:, :), hat(:, :), known(:, :)
  character(4096) :: text(7)
  real(c_double) :: t
  integer :: n, i, j, step, snapshots, stride, every, from, to
  do i = 1, 7
    call get_command_argument(i, text(i))
  end do
  read (text(4), *) snapshots
  read (text(5), *) stride
  read (text(6), *) every
  read (text(7), *) t
  if (.not. closure_open(closure, text(1))) error stop closure_error()
  if (.not. closure_seed(closure, seed, "rollout/0")) error stop closure_error()
  n = closure_grid(closure)
  allocate (w(n, n), mean(n, n), h(n, n))
  open (newunit=from, file=trim(text(2)), access="stream", form="unformatted", status="old")
  read (from) w
  open (newunit=to, file=trim(text(3)), access="stream", form="unformatted", status="replace")
  k = [(tau * merge(i, i - n, i < n / 2), i = 0, n - 1)]
  dft = reshape([((exp(cmplx(0, -tau * i * j / n, c_double)), i = 0, n - 1), j = 0, n - 1)], [n, n])
  rate = reshape([((0.5d0 * dt * viscosity * (k(i)**2 + k(j)**2), i = 1, n), j = 1, n)], [n, n])
  f = reshape([((forcing * (sin(tau * (i + j) / n) + cos(tau * (i + j) / n)), i = 0, n - 1), j = 0, n - 1)], [n, n])
  known = forward(f)
  hat = forward(w)
  do step = 0, snapshots * stride - 1
    if (mod(step, every) == 0) then
      w = backward(hat)
      if (.not. closure_mean(closure, w, t + step * dt, mean)) error stop closure_error()
      if (.not. closure_fluctuation(closure, w, t + step * dt, mean, h)) error stop closure_error()
      h = mean + h / sqrt(real(every, c_double))
    end if
    hat = ((1 - rate) * hat + dt * (forward(h) + known)) / (1 + rate)
    if (mod(step + 1, stride) == 0) write (to) backward(hat)
  end do
  call closure_close(closure)
contains
  function forward(field) result(modes)
    real(c_double), intent(in) :: field(:, :)
    complex(c_double) :: modes(size(field, 1), size(field, 2))
    modes = matmul(matmul(dft, cmplx(field, 0, c_double)), dft)
  end function
  function backward(modes) result(field)
    complex(c_double), intent(in) :: modes(:, :)
    real(c_double) :: field(size(modes, 1), size(modes, 2))
    field = real(matmul(matmul(conjg(dft), modes), conjg(dft)), c_double) / n**2
  end function
end program
